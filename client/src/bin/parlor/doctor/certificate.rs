//! When an X.509 certificate is valid.

use std::time::Duration;

use jiff::{Timestamp, civil};

/// From when to when a certificate is valid (RFC 5280, section 4.1.2.5).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Validity {
    pub(crate) not_before: Timestamp,
    pub(crate) not_after: Timestamp,
}

impl Validity {
    /// How long the certificate is still valid; none where it is no longer.
    pub(crate) fn left(&self, now: Timestamp) -> Option<Duration> {
        Duration::try_from(self.not_after.duration_since(now)).ok()
    }
}

const SEQUENCE: u8 = 0x30;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
/// The explicit tag of the version, which stands first where it is not v1.
const VERSION: u8 = 0xa0;

/// Reads the validity out of a certificate in DER. `None` where it is not one.
///
/// Of the whole structure only this is read, because rustls has already judged the rest:
///
/// ```text
/// Certificate ::= SEQUENCE { tbsCertificate SEQUENCE {
///     version [0] EXPLICIT OPTIONAL, serialNumber, signature, issuer, validity SEQUENCE { notBefore, notAfter }, … }, … }
/// ```
pub(crate) fn validity(der: &[u8]) -> Option<Validity> {
    let (certificate, _) = element(der, SEQUENCE)?;
    let (mut fields, _) = element(certificate, SEQUENCE)?;
    if fields.first() == Some(&VERSION) {
        fields = element(fields, VERSION)?.1;
    }
    for _serial_signature_issuer in 0..3 {
        fields = element(fields, *fields.first()?)?.1;
    }
    let (validity, _) = element(fields, SEQUENCE)?;
    let (not_before, rest) = time(validity)?;
    let (not_after, _) = time(rest)?;
    Some(Validity { not_before, not_after })
}

/// The content of the element at the start, and what follows it (X.690, section 8.1).
fn element(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (&found, rest) = der.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = if first < 0x80 {
        (usize::from(first), rest)
    } else {
        let bytes = usize::from(first & 0x7f);
        let (length, rest) = rest.split_at_checked(bytes).filter(|_| (1..=4).contains(&bytes))?;
        (length.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), rest)
    };
    (found == tag).then(|| rest.split_at_checked(length)).flatten()
}

/// A time, which is `YYMMDDHHMMSSZ` until 2049 and `YYYYMMDDHHMMSSZ` from then on.
fn time(der: &[u8]) -> Option<(Timestamp, &[u8])> {
    let short = *der.first()? == UTC_TIME;
    let (text, rest) = element(der, if short { UTC_TIME } else { GENERALIZED_TIME })?;
    let digits = std::str::from_utf8(text).ok()?.strip_suffix('Z')?;
    let (year, others) = digits.split_at_checked(if short { 2 } else { 4 })?;
    let year: i16 = year.parse().ok()?;
    let year = match (short, year) {
        (true, 0..50) => 2_000 + year,
        (true, _) => 1_900 + year,
        (false, _) => year,
    };
    let two = |at: usize| others.get(at..at + 2)?.parse::<i8>().ok();
    let moment = civil::DateTime::new(year, two(0)?, two(2)?, two(4)?, two(6)?, two(8)?, 0).ok()?;
    Some((moment.in_tz("UTC").ok()?.timestamp(), rest))
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    use super::*;

    fn valid(from: i32, to: i32) -> Option<Validity> {
        let mut params = CertificateParams::new(vec!["parlor.example".to_owned()]).expect("a name");
        params.not_before = date_time_ymd(from, 2, 3);
        params.not_after = date_time_ymd(to, 11, 30);
        let key = KeyPair::generate().expect("a key");
        validity(params.self_signed(&key).expect("a certificate").der())
    }

    #[test]
    fn both_ways_of_writing_a_time_are_read() {
        for (from, to) in [(1999, 2026), (2024, 2049), (2050, 2075)] {
            let expected = Validity {
                not_before: format!("{from}-02-03T00:00:00Z").parse().expect("a time"),
                not_after: format!("{to}-11-30T00:00:00Z").parse().expect("a time"),
            };
            assert_eq!(valid(from, to), Some(expected));
        }
    }

    #[test]
    fn what_is_no_certificate_has_no_validity() {
        let mut params = CertificateParams::new(vec!["parlor.example".to_owned()]).expect("a name");
        params.not_before = date_time_ymd(2024, 1, 1);
        let certificate = params.self_signed(&KeyPair::generate().expect("a key")).expect("a certificate");
        let der = certificate.der();
        // Every prefix: nothing that is cut short may be read past its end.
        for length in 0..100.min(der.len()) {
            assert_eq!(validity(&der[..length]), None, "{length}");
        }
        assert_eq!(validity(&[SEQUENCE, 0x84, 0xff, 0xff, 0xff, 0xff]), None);
    }
}
