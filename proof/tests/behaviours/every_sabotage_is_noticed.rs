//! A proof that cannot fail proves nothing: whatever is broken on purpose is found within 500 histories.

use std::fmt::Write as _;

use parlor_proof::{run, sabotage::Sabotage};

#[test]
fn every_sabotage_is_noticed() {
    let mut missed = String::new();
    for way in Sabotage::ALL {
        if run::histories(500, 1, 1, Some(*way)).is_ok() {
            writeln!(missed, "{}", way.what()).expect("a string takes everything");
        }
    }
    let caught = Sabotage::ALL.len() - missed.lines().count();
    println!("sabotage caught {caught}/{}", Sabotage::ALL.len());
    assert_eq!(missed, "");
}
