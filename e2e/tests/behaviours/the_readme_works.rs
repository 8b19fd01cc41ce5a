//! The blocks of the README are typed as they are printed, in its order; what is replaced stands here.

use std::{fs, os::unix::fs::symlink};

use discord_emulator::PARLOR_DEV;
use parlor_e2e::{Issuer, Page, Running, Terminal, programs, root, workplace};

/// Ports that the system picks, for the programs that `make dev` starts.
const ARGS: &str = "--listen 127.0.0.1:0 --ops-listen 127.0.0.1:0 --emulator-listen 127.0.0.1:0";

/// Reads what `parlord dev` prints as far as a word, and returns what follows it.
async fn printed_after(dev: &mut Running, word: &str) -> String {
    let line = dev.until(word).await;
    line.split_once(word).expect("the line has it").1.trim().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_block_of_the_readme_runs() {
    let mut page = Page::read("README.md");
    let folder = workplace();
    symlink(root().join(".deps"), folder.path().join(".deps")).unwrap();

    // make says what it would do: everything is built when this test runs. Its last line is what starts Parlor.
    let (makefile, built) = (root().display().to_string(), programs().join("..").display().to_string());
    let dry =
        format!("make --dry-run --no-print-directory -C '{makefile}' CARGO_TARGET_DIR='{built}' ARGS='{ARGS}' dev");
    let recipe = Terminal::open(folder.path()).run(&page.block("sh").with("make dev", &dry).code).await;
    let start = recipe.lines().last().expect("the recipe has lines");
    assert!(start.contains("parlord dev"), "{recipe}");
    let mut dev = Terminal::open(folder.path()).start(&format!("exec {start}"));
    let api = printed_after(&mut dev, "gRPC, grpc-web").await;
    let discord = printed_after(&mut dev, "emulated Discord").await;
    let discord = discord.split_whitespace().next().expect("an address").to_owned();
    let token = printed_after(&mut dev, "export PARLOR_TOKEN=").await;
    dev.until("Ctrl-C stops everything").await;

    Terminal::open(folder.path()).run("umask 077; echo any.bot.token > bot-token").await;
    let real_bot = page
        .block("sh")
        .with("/run/secrets/bot-token", "bot-token")
        .with("https://login.example.com/.well-known/jwks.json", &Issuer::get().serve_keys().await);
    let terminal = Terminal::open(folder.path())
        .set("PARLOR_DISCORD__API_URL", discord.as_str())
        .set("PARLOR_SERVER__LISTEN", "127.0.0.1:0")
        .set("PARLOR_SERVER__DRAIN_GRACE", "0s")
        .set("PARLOR_OPS__LISTEN", "127.0.0.1:0")
        .set("PARLOR_STORE__DIR", "store")
        .set("PARLOR_LOG__FORMAT", "json");
    let mut parlord = terminal.start(&real_bot.code);
    parlord.until_it_serves().await;
    parlord.interrupt().await;

    let program = page.block("js").with("https://parlor.example.com", &format!("http://{api}"));
    let around = format!("const guildId = \"{PARLOR_DEV}\", token = {token};\n{}", program.code);
    fs::write(folder.path().join("block.mjs"), around).unwrap();
    let mut program = Terminal::open(folder.path()).start("exec node block.mjs");
    program.until("Lobby 0").await;
    let people = format!("{}/control/users", discord.trim_end_matches("/api/v10"));
    let terminal = Terminal::open(folder.path()).set("PARLOR_ADDR", &api);
    terminal.run(&format!("curl --fail --silent --data Lobby {people}/ann/join")).await;
    program.until("Lobby 1").await;

    let mut shown = terminal.start(&page.block("sh").code);
    for line in ["\tStandup\t", "\tLobby\t", "✓ health", "1 person in voice", "Lobby: "] {
        shown.until(line).await;
    }
    terminal.run(&format!("curl --fail --silent --data Standup {people}/ann/move")).await;
    shown.until("Ann moved").await;
    shown.interrupt().await;
    dev.interrupt().await;
    page.finish();
}
