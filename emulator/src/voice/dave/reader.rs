//! MLS structures read by hand, as far as this protocol allows them (RFC 9420, sections 2.1, 7.2 and 10). openmls, which
//! reads them all, panics on extensions whose lengths lie; here nobody has any.

/// Bytes are not what was due.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(super) enum ReadError {
    /// They end too early, or are none of the values that this protocol has.
    #[error("not the structure that was due")]
    Shape,
    /// There is something behind them.
    #[error("something follows the structure")]
    TooLong,
}

/// Reads from the front.
pub(super) struct Reader<'a>(pub &'a [u8]);

/// A member, as a leaf names it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Identity<'a> {
    pub signature_key: &'a [u8],
    pub name: &'a [u8],
}

/// Where a leaf stands.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum LeafSource {
    KeyPackage,
    Commit,
}

const MLS_10: u16 = 1;
const SUITE: u16 = 2;
const BASIC: u16 = 1;

impl<'a> Reader<'a> {
    fn array<const N: usize>(&mut self) -> Result<[u8; N], ReadError> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(ReadError::Shape)?;
        self.0 = rest;
        Ok(*taken)
    }

    pub(super) fn u8(&mut self) -> Result<u8, ReadError> {
        self.array().map(u8::from_be_bytes)
    }

    pub(super) fn u16(&mut self) -> Result<u16, ReadError> {
        self.array().map(u16::from_be_bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32, ReadError> {
        self.array().map(u32::from_be_bytes)
    }

    pub(super) fn u64(&mut self) -> Result<u64, ReadError> {
        self.array().map(u64::from_be_bytes)
    }

    /// A vector with a length of variable size.
    pub(super) fn vector(&mut self) -> Result<&'a [u8], ReadError> {
        let first = self.u8()?;
        let mut len = usize::from(first & 0x3F);
        let more = match first >> 6 {
            0 => 0,
            1 => 1,
            2 => 3,
            _ => return Err(ReadError::Shape),
        };
        for _ in 0..more {
            len = len << 8 | usize::from(self.u8()?);
        }
        let (taken, rest) = self.0.split_at_checked(len).ok_or(ReadError::Shape)?;
        self.0 = rest;
        Ok(taken)
    }

    /// This value and no other.
    pub(super) fn expect_u16(&mut self, value: u16) -> Result<(), ReadError> {
        if self.u16()? == value { Ok(()) } else { Err(ReadError::Shape) }
    }

    fn no_extensions(&mut self) -> Result<(), ReadError> {
        if self.vector()?.is_empty() { Ok(()) } else { Err(ReadError::Shape) }
    }

    /// A leaf node with a basic credential and without extensions.
    pub(super) fn leaf(&mut self, source: LeafSource) -> Result<Identity<'a>, ReadError> {
        let (_encryption_key, signature_key) = (self.vector()?, self.vector()?);
        self.expect_u16(BASIC)?;
        let name = self.vector()?;
        // Versions, suites, extensions, proposals and credentials that the client knows: two bytes each.
        for _ in 0..5 {
            if !self.vector()?.len().is_multiple_of(2) {
                return Err(ReadError::Shape);
            }
        }
        match (source, self.u8()?) {
            (LeafSource::KeyPackage, 1) => {
                // DAVE protocol, "Key Packages": for ever.
                if (self.u64()?, self.u64()?) != (0, u64::MAX) {
                    return Err(ReadError::Shape);
                }
            }
            (LeafSource::Commit, 3) => drop(self.vector()?),
            _ => return Err(ReadError::Shape),
        }
        self.no_extensions()?;
        let _signature = self.vector()?;
        Ok(Identity { signature_key, name })
    }

    /// A whole key package without extensions.
    pub(super) fn key_package(mut self) -> Result<Identity<'a>, ReadError> {
        self.expect_u16(MLS_10)?;
        self.expect_u16(SUITE)?;
        let _init_key = self.vector()?;
        let identity = self.leaf(LeafSource::KeyPackage)?;
        self.no_extensions()?;
        let _signature = self.vector()?;
        if self.0.is_empty() { Ok(identity) } else { Err(ReadError::TooLong) }
    }
}
