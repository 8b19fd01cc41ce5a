//! A proxy between the server and the gateway that delays, stalls, garbles and cuts what passes.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::{mpsc, watch},
    task::JoinSet,
    time::{Instant, sleep_until},
};

/// What the proxy does to what passes.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Weather {
    /// Everything comes so much later.
    pub(super) delay: Duration,
    /// Of a hundred pieces so many are held up, as by a packet that has to be sent again.
    pub(super) loss_percent: u32,
    /// Nothing passes, and nobody is told.
    pub(super) blackhole: bool,
    /// The next piece towards the server is spoilt; counts the times.
    pub(super) garbled: u64,
    /// The next piece towards the server breaks off in its middle with a TCP reset; counts the times.
    pub(super) cut: u64,
}

/// The proxy. It ends when this goes.
#[derive(Debug)]
pub(super) struct Proxy {
    weather: Arc<watch::Sender<Weather>>,
    toll: Arc<Toll>,
    _tasks: JoinSet<()>,
}

/// Pieces that came late.
#[derive(Debug, Default)]
struct Toll {
    delayed: AtomicU64,
    held_up: AtomicU64,
}

/// A proxy's door, before it is known where it leads.
pub(super) struct Door(TcpListener);

impl Door {
    /// A free port.
    ///
    /// # Errors
    /// There is none.
    pub(super) async fn open() -> io::Result<Self> {
        Ok(Self(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?))
    }

    /// Where it is.
    pub(super) fn addr(&self) -> SocketAddr {
        self.0.local_addr().expect("a bound listener has an address")
    }

    /// Lets through what comes.
    pub(super) fn lead_to(self, target: SocketAddr, seed: u64) -> Proxy {
        let weather = Arc::new(watch::Sender::new(Weather::default()));
        let mut tasks = JoinSet::new();
        let toll = Arc::<Toll>::default();
        let (of, taken) = (Arc::clone(&weather), Arc::clone(&toll));
        let (listener, mut rng) = (self.0, fastrand::Rng::with_seed(seed));
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                let Ok(server) = TcpStream::connect(target).await else { continue };
                connections.spawn(carry(client, server, Arc::clone(&of), Arc::clone(&taken), rng.fork()));
            }
        });
        Proxy { weather, toll, _tasks: tasks }
    }
}

impl Proxy {
    /// Changes the weather.
    pub(super) fn change(&self, change: impl FnOnce(&mut Weather)) {
        self.weather.send_modify(change);
    }

    /// How many pieces were delayed so far, and how many held up.
    pub(super) fn toll(&self) -> (u64, u64) {
        (self.toll.delayed.load(Ordering::Relaxed), self.toll.held_up.load(Ordering::Relaxed))
    }
}

/// Carries one connection, both ways, until either side ends.
async fn carry(
    client: TcpStream,
    server: TcpStream,
    weather: Arc<watch::Sender<Weather>>,
    toll: Arc<Toll>,
    mut rng: fastrand::Rng,
) {
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let up = pass(from_client, to_server, weather.subscribe(), &toll, false, rng.fork());
    let down = pass(from_server, to_client, weather.subscribe(), &toll, true, rng);
    // Whichever way ends first ends the other too.
    tokio::select! { () = up => {}, () = down => {} }
}

/// One piece on its way, and when it may arrive.
type Piece = (Instant, Vec<u8>);

async fn pass(
    mut from: OwnedReadHalf,
    to: OwnedWriteHalf,
    weather: watch::Receiver<Weather>,
    toll: &Toll,
    harmed: bool,
    mut rng: fastrand::Rng,
) {
    let (pieces, arriving) = mpsc::channel::<Piece>(1_024);
    let sky = weather.clone();
    let reading = async move {
        let mut buffer = vec![0; 16 * 1024];
        while let Ok(count @ 1..) = from.read(&mut buffer).await {
            let now = *sky.borrow();
            let held_up = rng.u32(0..100) < now.loss_percent;
            toll.delayed.fetch_add(u64::from(!now.delay.is_zero()), Ordering::Relaxed);
            toll.held_up.fetch_add(u64::from(held_up), Ordering::Relaxed);
            let late = if held_up { Duration::from_millis(rng.u64(200..1_000)) } else { Duration::ZERO };
            if pieces.send((Instant::now() + now.delay + late, buffer[..count].to_vec())).await.is_err() {
                return;
            }
        }
    };
    tokio::join!(reading, deliver(arriving, to, weather, harmed));
}

async fn deliver(
    mut arriving: mpsc::Receiver<Piece>,
    mut to: OwnedWriteHalf,
    mut weather: watch::Receiver<Weather>,
    harmed: bool,
) {
    let seen = *weather.borrow();
    let mut garbled = seen.garbled;
    while let Some((due, mut bytes)) = arriving.recv().await {
        sleep_until(due).await;
        let Ok(now) = weather.wait_for(|weather| !weather.blackhole).await.map(|weather| *weather) else { return };
        // What is longer than this is more than the frame's own header.
        if harmed && now.garbled > garbled && bytes.len() > 16 {
            garbled = now.garbled;
            // One wrong byte may only be another letter in a name; this cannot be decompressed.
            bytes.iter_mut().skip(4).for_each(|byte| *byte ^= 0x5a);
        }
        if harmed && now.cut > seen.cut && bytes.len() > 1 {
            // What can still be sent is half of it; then the connection is reset, not closed.
            let _ = to.write_all(&bytes[..bytes.len() / 2]).await;
            let _ = to.as_ref().set_zero_linger();
            return;
        }
        if to.write_all(&bytes).await.is_err() {
            return;
        }
    }
}
