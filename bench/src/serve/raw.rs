//! The floor: bytes that are encoded once and sent to each socket in a loop, with no protocol around them.
//!
//! What it sends looks like HTTP/2 DATA frames, so that the same reader takes it apart and the bytes are as many.

use std::{
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
};

use anyhow::Result;
use prost::Message as _;

use super::{Announcement, LOOPBACK, obey};
use crate::feed::Messages;

struct Subscriber {
    socket: TcpStream,
    /// How many streams share the connection; the subscriber's first byte.
    streams: u8,
}

pub(super) fn serve() -> Result<()> {
    let (events, control) = (TcpListener::bind(LOOPBACK)?, TcpListener::bind(LOOPBACK)?);
    Announcement { events: events.local_addr()?.port(), control: control.local_addr()?.port(), token: String::new() }
        .print()?;
    let subscribers = Arc::new(Mutex::new(Vec::new()));
    thread::spawn({
        let subscribers = Arc::clone(&subscribers);
        move || accept(&events, &subscribers)
    });
    let mut messages = Messages::new();
    let (mut single, mut many) = (Vec::new(), Vec::new());
    obey(&control, || {
        let message = messages.next().encode_to_vec();
        single.clear();
        frame(&message, 1, &mut single);
        let mut subscribers = subscribers.lock().expect("nobody panics with this lock");
        for subscriber in subscribers.iter_mut() {
            let Subscriber { socket, streams } = subscriber;
            if *streams == 1 {
                socket.write_all(&single)?;
            } else {
                many.clear();
                (0..*streams).for_each(|stream| frame(&message, 1 + 2 * u32::from(stream), &mut many));
                socket.write_all(&many)?;
            }
        }
        Ok(())
    })
}

fn accept(listener: &TcpListener, subscribers: &Mutex<Vec<Subscriber>>) -> Result<()> {
    loop {
        let (mut socket, _) = listener.accept()?;
        socket.set_nodelay(true)?;
        let mut streams = [0];
        socket.read_exact(&mut streams)?;
        let mut greeting = Vec::new();
        (0..streams[0]).for_each(|stream| frame(&[], 1 + 2 * u32::from(stream), &mut greeting));
        socket.write_all(&greeting)?;
        subscribers.lock().expect("nobody panics with this lock").push(Subscriber { socket, streams: streams[0] });
    }
}

/// An HTTP/2 DATA frame (RFC 9113, section 6.1) with one gRPC message.
fn frame(message: &[u8], stream: u32, into: &mut Vec<u8>) {
    let length = u32::try_from(message.len()).expect("a small message");
    into.extend_from_slice(&(length + 5).to_be_bytes()[1..]);
    into.extend_from_slice(&[0, 0]);
    into.extend_from_slice(&stream.to_be_bytes());
    into.push(0);
    into.extend_from_slice(&length.to_be_bytes());
    into.extend_from_slice(message);
}
