//! Whose turn it is: start-time fair queueing with one request as the unit.

use std::collections::BTreeMap;

use super::request::Tenant;

/// The turns of all tenants in one queue. The tenant with the smallest [`start`](Self::start) goes next.
///
/// A tenant's clock runs ahead by one with each request served. Nobody saves up turns while asking for nothing: a clock
/// that fell behind starts at the queue's own.
#[derive(Debug, Default)]
pub(super) struct Turns {
    now: u64,
    ahead: BTreeMap<Tenant, u64>,
}

impl Turns {
    /// When the tenant's next request begins, in served requests.
    pub(super) fn start(&self, tenant: &Tenant) -> u64 {
        self.ahead.get(tenant).copied().unwrap_or(0).max(self.now)
    }

    /// The tenant's request was served.
    pub(super) fn serve(&mut self, tenant: &Tenant) {
        let start = self.start(tenant);
        self.now = start;
        self.ahead.insert(tenant.clone(), start + 1);
        self.ahead.retain(|_, ahead| *ahead > start);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_gets_a_turn_whatever_the_others_took_before() {
        let (ann, ben) = (Tenant::new("ann"), Tenant::new("ben"));
        let mut turns = Turns::default();
        for _ in 0..100 {
            turns.serve(&ann);
        }
        assert!(turns.start(&ben) < turns.start(&ann));
        turns.serve(&ben);
        // Ben has not saved up the hundred turns that he did not ask for.
        assert_eq!(turns.start(&ann), turns.start(&ben));
        assert!(turns.ahead.len() <= 2);
    }
}
