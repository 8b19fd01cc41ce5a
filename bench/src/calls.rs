//! What CreateRoom costs the server over a call that does nothing, and how long it takes against the emulated Discord.

use std::{
    env,
    io::{BufRead as _, BufReader},
    process::{Child, ChildStdout, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use parlor_proto::v1::{self, room_service_client::RoomServiceClient};
use tonic::{
    Request,
    metadata::{Ascii, MetadataValue},
    transport::{Channel, Endpoint},
};

use crate::{
    feed,
    process::{Process, Server},
};

/// Calls under way at a time.
const AT_ONCE: usize = 8;

/// Rooms that are made between two readings of the clock, and ended before the next.
const BATCH: usize = 100;

/// The guild of the emulated Discord.
const EMULATED_GUILD: &str = "1100000000000000001";

/// Rooms that are made against the emulator: fewer than it lets make in five seconds.
const EMULATED: usize = 40;

/// A caller of one server.
struct Caller {
    client: RoomServiceClient<Channel>,
    bearer: Option<MetadataValue<Ascii>>,
    guild: String,
}

impl Caller {
    async fn new(address: &str, token: &str, guild: String) -> Result<Self> {
        let channel = Endpoint::from_shared(format!("http://{address}"))?.tcp_nodelay(true).connect().await?;
        let bearer = if token.is_empty() { None } else { Some(format!("Bearer {token}").parse()?) };
        Ok(Self { client: RoomServiceClient::new(channel), bearer, guild })
    }

    fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        if let Some(bearer) = &self.bearer {
            request.metadata_mut().insert("authorization", bearer.clone());
        }
        request
    }

    async fn create(&self, number: usize) -> Result<String> {
        let display_name = format!("room {number}");
        let asked = v1::CreateRoomRequest { guild_id: self.guild.clone(), display_name, ..Default::default() };
        let made = self.client.clone().create_room(self.request(asked)).await?.into_inner();
        Ok(made.room.context("an answer without a room")?.room_id)
    }

    async fn end(&self, room_id: String) -> Result<()> {
        let asked = v1::EndRoomRequest { room_id, ..Default::default() };
        self.client.clone().end_room(self.request(asked)).await?;
        Ok(())
    }

    /// Makes rooms, several at a time.
    async fn create_all(&self) -> Result<Vec<String>> {
        stream::iter(0..BATCH).map(|number| self.create(number)).buffer_unordered(AT_ONCE).try_collect().await
    }

    async fn end_all(&self, rooms: Vec<String>) -> Result<()> {
        stream::iter(rooms).map(|room| self.end(room)).buffer_unordered(AT_ONCE).try_collect().await
    }
}

/// What one CreateRoom costs a server of this program, in µs of CPU.
pub(crate) fn cpu(server: &'static str, batches: usize) -> Result<f64> {
    let (process, announced) = Process::start(Server::Own(server))?;
    // The server goes on for as long as this is open.
    let _control = std::net::TcpStream::connect(("127.0.0.1", announced.control))?;
    runtime()?.block_on(async {
        let address = format!("127.0.0.1:{}", announced.events);
        let caller = Caller::new(&address, &announced.token, feed::GUILD.to_string()).await?;
        caller.end_all(caller.create_all().await?).await?;
        let mut spent = Duration::ZERO;
        for _ in 0..batches {
            let before = process.cpu()?;
            let rooms = caller.create_all().await?;
            spent += process.cpu()? - before;
            caller.end_all(rooms).await?;
        }
        Ok(spent.as_secs_f64() * 1e6 / (batches * BATCH) as f64)
    })
}

/// How long CreateRoom takes at the 95th percentile against the emulated Discord, in ms: one call after the other, REST and
/// both sides' HTTP included.
pub(crate) fn p95() -> Result<f64> {
    let (_parlord, address, token) = parlord()?;
    runtime()?.block_on(async {
        let caller = Caller::new(&address, &token, EMULATED_GUILD.to_owned()).await?;
        // The first ones wait for the gateway to tell of the guild.
        let began = Instant::now();
        while let Err(refused) = caller.create(0).await {
            anyhow::ensure!(began.elapsed() < Duration::from_secs(10), refused);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let mut took = Vec::new();
        for number in 1..=EMULATED {
            let began = Instant::now();
            caller.create(number).await?;
            took.push(began.elapsed().as_secs_f64() * 1e3);
        }
        took.sort_by(f64::total_cmp);
        Ok(took[EMULATED * 95 / 100])
    })
}

fn runtime() -> Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?)
}

/// `parlord dev`, which stands beside this program, with an address and a token.
fn parlord() -> Result<(Running, String, String)> {
    let program = env::current_exe()?.with_file_name("parlord");
    let directory = tempfile::tempdir()?;
    let free = "127.0.0.1:0";
    let many = "1000000";
    let mut child = Command::new(&program)
        .args([
            "dev",
            "--listen",
            free,
            "--ops-listen",
            free,
            "--emulator-listen",
            free,
            "--log",
            "error",
            "--store-dir",
        ])
        .arg(directory.path())
        .envs([
            ("PARLOR_RATES__CHANGES_PER_SECOND", many),
            ("PARLOR_RATES__CHANGES_BURST", many),
            ("PARLOR_RATES__GUILD_CHANGES_PER_SECOND", many),
            ("PARLOR_RATES__GUILD_CHANGES_BURST", many),
        ])
        .current_dir(directory.path())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("{} is not there: cargo build --release --bin parlord", program.display()))?;
    let mut out = BufReader::new(child.stdout.take().expect("it is piped"));
    let running = Running { child, _directory: directory };
    let (mut address, mut line) = (None, String::new());
    while out.read_line(&mut line)? > 0 {
        if let Some(rest) = line.trim().strip_prefix("gRPC, grpc-web") {
            address = Some(rest.trim().to_owned());
        }
        let token = line.trim().strip_prefix("export PARLOR_TOKEN='").and_then(|rest| rest.strip_suffix('\''));
        if let (Some(address), Some(token)) = (&address, token) {
            let token = token.to_owned();
            drain(out);
            return Ok((running, address.clone(), token));
        }
        line.clear();
    }
    bail!("parlord did not start")
}

/// Reads on, so that the program can say what it wants to.
fn drain(mut out: BufReader<ChildStdout>) {
    std::thread::spawn(move || std::io::copy(&mut out, &mut std::io::sink()));
}

struct Running {
    child: Child,
    /// Where it keeps its things; it goes when the program has ended.
    _directory: tempfile::TempDir,
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself already.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
