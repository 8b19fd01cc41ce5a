//! Tables of what was measured: minima and medians, and the ratios that are aimed at.

use std::fmt::Write as _;

use crate::runs::{Contender, Delivery, Rest};

/// Measurements of each contender.
pub(crate) type Measured<T> = [(Contender, Vec<T>)];

/// The best and the middle of several measurements.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Summary {
    /// The best.
    pub best: f64,
    /// The middle one; of an even number, the better of the two.
    pub median: f64,
}

/// Which end of the scale is good.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Better {
    /// Less is.
    Less,
    /// More is.
    More,
}

/// Sums up a figure of several measurements.
pub(crate) fn summary<T>(measurements: &[T], figure: impl Fn(&T) -> f64, better: Better) -> Summary {
    let mut figures: Vec<f64> = measurements.iter().map(figure).collect();
    figures.sort_by(f64::total_cmp);
    if better == Better::More {
        figures.reverse();
    }
    Summary { best: figures[0], median: figures[(figures.len() - 1) / 2] }
}

/// A fan-out as a table.
pub(crate) fn fanout(title: &str, measured: &Measured<Delivery>) -> String {
    let mut text = format!(
        "\n{title}\n{:<18}{:>18}{:>16}{:>16}{:>20}{:>8}{:>7}{:>8}\n",
        "", "CPU µs/event", "p50 ms", "p99 ms", "deliveries/s", "bytes", "batch", "core"
    );
    for (contender, runs) in measured {
        let cpu = summary(runs, |run| run.cpu, Better::Less);
        let p50 = summary(runs, |run| run.p50, Better::Less);
        let p99 = summary(runs, |run| run.p99, Better::Less);
        let rate = summary(runs, |run| run.rate, Better::More);
        let bytes = summary(runs, |run| run.bytes, Better::Less);
        let batch = summary(runs, |run| run.batch, Better::Less);
        let load = summary(runs, |run| run.load, Better::Less);
        writeln!(
            text,
            "{:<18}{:>9.2} ({:>6.2}){:>8.2} ({:>5.2}){:>8.2} ({:>5.1}){:>11.0} ({:>7.0}){:>8.0}{:>7.1}{:>7.0}%",
            contender.name(),
            cpu.best,
            cpu.median,
            p50.best,
            p50.median,
            p99.best,
            p99.median,
            rate.best,
            rate.median,
            bytes.best,
            batch.median,
            load.median * 100.0
        )
        .expect("a String takes everything");
    }
    text
}

/// Idle subscribers as a table.
pub(crate) fn idle(title: &str, measured: &Measured<Rest>) -> String {
    let mut text = format!("\n{title}\n{:<18}{:>20}{:>22}\n", "", "KiB/subscriber", "CPU µs/s/subscriber");
    for (contender, runs) in measured {
        let memory = summary(runs, |run| run.memory, Better::Less);
        let cpu = summary(runs, |run| run.cpu, Better::Less);
        writeln!(
            text,
            "{:<18}{:>11.2} ({:>6.2}){:>13.2} ({:>6.2})",
            contender.name(),
            memory.best,
            memory.median,
            cpu.best,
            cpu.median
        )
        .expect("a String takes everything");
    }
    text
}

/// An aim, and how far off it is.
#[derive(Clone, Debug)]
pub(crate) struct Aim {
    /// What is aimed at.
    pub what: String,
    /// The figure of the minima and of the medians; both have to be within the aim.
    pub reached: Summary,
    /// The aim.
    pub aim: f64,
    /// Which side of the aim is good.
    pub better: Better,
}

impl Aim {
    fn is_met(&self) -> bool {
        let met = |figure: f64| match self.better {
            Better::Less => figure <= self.aim,
            Better::More => figure >= self.aim,
        };
        met(self.reached.best) && met(self.reached.median)
    }
}

/// The aims as a table.
pub(crate) fn aims(aims: &[Aim]) -> String {
    let mut text = format!("\n{:<58}{:>9}{:>18}\n", "Aims", "aim", "minima (medians)");
    for aim in aims {
        let sign = if aim.better == Better::Less { '≤' } else { '≥' };
        let verdict = if aim.is_met() { "met" } else { "MISSED" };
        let Summary { best, median } = aim.reached;
        writeln!(text, "{:<58}{sign:>3}{:>6.2}{best:>9.2} ({median:>6.2})  {verdict}", aim.what, aim.aim)
            .expect("a String takes everything");
    }
    text
}

/// One contender's figure over another's.
pub(crate) fn ratio<T>(
    measured: &Measured<T>,
    over: (Contender, Contender),
    figure: impl Fn(&T) -> f64 + Copy,
    better: Better,
) -> Summary {
    let [one, other] = [over.0, over.1].map(|contender| of(measured, contender, figure, better));
    Summary { best: one.best / other.best, median: one.median / other.median }
}

/// One contender's figure.
pub(crate) fn of<T>(
    measured: &Measured<T>,
    contender: Contender,
    figure: impl Fn(&T) -> f64,
    better: Better,
) -> Summary {
    let (_, runs) = measured.iter().find(|(other, _)| *other == contender).expect("it was measured");
    summary(runs, figure, better)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_is_at_the_good_end() {
        let figures = [3.0, 1.0, 2.0, 4.0];
        assert_eq!(summary(&figures, |figure| *figure, Better::Less), Summary { best: 1.0, median: 2.0 });
        assert_eq!(summary(&figures, |figure| *figure, Better::More), Summary { best: 4.0, median: 3.0 });
    }

    #[test]
    fn an_aim_is_met_by_minima_and_medians() {
        let aim = |best, median, better| {
            Aim { what: String::new(), reached: Summary { best, median }, aim: 1.0, better }.is_met()
        };
        assert!(aim(0.9, 1.0, Better::Less) && !aim(0.9, 1.1, Better::Less));
        assert!(aim(1.1, 1.0, Better::More) && !aim(1.1, 0.9, Better::More));
    }
}
