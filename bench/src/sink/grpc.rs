//! Counts gRPC messages in pieces of a body.

/// Where in a length-prefixed message the next piece begins (gRPC over HTTP/2, "Length-Prefixed-Message").
#[derive(Debug, Default)]
pub(super) struct Messages {
    head: [u8; 5],
    /// Bytes of `head` that are there.
    have: usize,
    /// Bytes of the message that are still to come; counts once `head` is whole.
    left: usize,
}

impl Messages {
    /// Takes a piece in and says how many messages it completes. A trailers frame of gRPC-Web is one too many: no stream
    /// ends here.
    pub(super) fn feed(&mut self, mut piece: &[u8]) -> usize {
        let mut complete = 0;
        while !piece.is_empty() {
            if self.have < self.head.len() {
                let taken = piece.len().min(self.head.len() - self.have);
                self.head[self.have..self.have + taken].copy_from_slice(&piece[..taken]);
                self.have += taken;
                piece = &piece[taken..];
                if self.have < self.head.len() {
                    break;
                }
                let [_, length @ ..] = self.head;
                self.left = u32::from_be_bytes(length) as usize;
            }
            let taken = piece.len().min(self.left);
            self.left -= taken;
            piece = &piece[taken..];
            if self.left == 0 {
                self.have = 0;
                complete += 1;
            }
        }
        complete
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_counted_however_they_are_cut() {
        let body = [&[0, 0, 0, 0, 3][..], b"abc", &[0, 0, 0, 0, 0], &[0, 0, 0, 0, 1], b"x"].concat();
        for size in 1..=body.len() {
            let mut messages = Messages::default();
            let counted: usize = body.chunks(size).map(|piece| messages.feed(piece)).sum();
            assert_eq!(counted, 3, "in pieces of {size}");
        }
    }
}
