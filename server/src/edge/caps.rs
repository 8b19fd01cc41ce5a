//! How many connections there may be, in all and of one address.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, PoisonError},
};

use metrics::gauge;

use crate::telemetry::names;

/// Why a connection is not served.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Refusal {
    /// There are as many as there may be.
    TooMany,
    /// The address has as many as it may.
    TooManyOfAddress,
}

/// Counts open connections.
#[derive(Clone, Debug)]
pub(super) struct Caps {
    total: usize,
    per_address: usize,
    open: Arc<Mutex<Open>>,
}

#[derive(Debug, Default)]
struct Open {
    total: usize,
    by_address: BTreeMap<IpAddr, usize>,
}

impl Caps {
    pub(super) fn new(total: u32, per_address: u32) -> Self {
        Self { total: total as usize, per_address: per_address as usize, open: Arc::default() }
    }

    /// A place for a connection of this address, given back when it is dropped.
    pub(super) fn admit(&self, address: IpAddr) -> Result<Place, Refusal> {
        let address = counted_as(address);
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.total >= self.total {
            return Err(Refusal::TooMany);
        }
        let of_address = open.by_address.entry(address).or_default();
        if *of_address >= self.per_address {
            return Err(Refusal::TooManyOfAddress);
        }
        *of_address += 1;
        open.total += 1;
        gauge!(names::CONNECTIONS).increment(1);
        Ok(Place { caps: self.clone(), address })
    }
}

/// A place among the open connections.
#[derive(Debug)]
pub(super) struct Place {
    caps: Caps,
    address: IpAddr,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.caps.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.total -= 1;
        if let Some(count) = open.by_address.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                open.by_address.remove(&self.address);
            }
        }
        gauge!(names::CONNECTIONS).decrement(1);
    }
}

/// An IPv6 customer has a /64, so that is what counts as one address; an IPv4 address in IPv6 clothes is itself.
pub(super) fn counted_as(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX))),
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn a_place_is_given_back() {
        let caps = Caps::new(3, 2);
        let first = caps.admit(address("192.0.2.1")).expect("the first");
        let _second = caps.admit(address("::ffff:192.0.2.1")).expect("the second");
        assert_eq!(caps.admit(address("192.0.2.1")).err(), Some(Refusal::TooManyOfAddress));
        let _third = caps.admit(address("192.0.2.2")).expect("another address");
        assert_eq!(caps.admit(address("192.0.2.3")).err(), Some(Refusal::TooMany));
        drop(first);
        assert!(caps.admit(address("192.0.2.1")).is_ok());
    }

    #[test]
    fn an_ipv6_network_counts_as_one_address() {
        let caps = Caps::new(10, 1);
        let _first = caps.admit(address("2001:db8:0:1::1")).expect("the first");
        assert_eq!(caps.admit(address("2001:db8:0:1:ffff::2")).err(), Some(Refusal::TooManyOfAddress));
        assert!(caps.admit(address("2001:db8:0:2::1")).is_ok());
    }

    #[test]
    fn no_address_is_remembered_after_its_last_connection() {
        let caps = Caps::new(10, 1);
        drop(caps.admit(address("192.0.2.1")));
        assert!(caps.open.lock().expect("not poisoned").by_address.is_empty());
    }
}
