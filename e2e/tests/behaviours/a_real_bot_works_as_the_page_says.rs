//! The steps of docs/how-to/real-bot.md, typed as they are printed, against `discord-emulator` in Discord's place.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use discord_emulator::PARLOR_DEV;
use parlor_e2e::{Issuer, Page, Running, Terminal, Token};

const BOT_TOKEN: &str = "the.bots.own-token";

/// `discord-emulator`, to which one token alone logs in.
struct Discord {
    address: String,
    _running: Running,
}

impl Discord {
    async fn start(folder: &Path) -> Self {
        let command = format!("exec discord-emulator --listen 127.0.0.1:0 --token {BOT_TOKEN}");
        let mut running = Terminal::open(folder).start(&command);
        let greeting = running.until("Discord is at http://").await;
        let address = greeting.split("http://").nth(1).unwrap().split('/').next().unwrap().to_owned();
        Self { address, _running: running }
    }

    /// A terminal whose reader is at live Discord, and has the usual ports.
    fn terminal(&self, folder: &Path) -> Terminal {
        Terminal::open(folder)
            .set("PARLOR_DISCORD__API_URL", format!("http://{}/api/v10", self.address))
            .set("PARLOR_SERVER__LISTEN", "127.0.0.1:0")
            .set("PARLOR_OPS__LISTEN", "127.0.0.1:0")
            .set("PARLOR_SERVER__DRAIN_GRACE", "0s")
            .set("PARLOR_LOG__FORMAT", "json")
            .set("TZ", "UTC")
    }

    async fn makes(&self, user: &str, join: &str) {
        let url = format!("http://{}/control/users/{user}/join", self.address);
        let answer = reqwest::Client::new().post(url).body(join.to_owned()).send().await.unwrap();
        assert!(answer.status().is_success(), "{answer:?}");
    }
}

/// What the page prints of `events watch`, and what is really printed, without the time.
fn without_time(line: &str) -> &str {
    let (time, rest) = line.split_at_checked(8).unwrap_or_else(|| panic!("no time: {line}"));
    assert!(time.bytes().enumerate().all(|(at, byte)| if at % 3 == 2 { byte == b':' } else { byte.is_ascii_digit() }));
    rest
}

#[tokio::test(flavor = "multi_thread")]
async fn from_a_fresh_bot_to_the_first_event() {
    let mut page = Page::read("docs/how-to/real-bot.md");
    let folder = tempfile::tempdir().unwrap();
    let discord = Discord::start(folder.path()).await;

    let first = discord.terminal(folder.path());
    first.run_and_paste(&page.block("sh").code, &format!("{BOT_TOKEN}\n")).await;
    let kept = fs::metadata(folder.path().join("secrets/bot-token")).unwrap();
    assert_eq!(kept.permissions().mode() & 0o777, 0o600, "nobody else reads it");
    let found = first.run(&page.block("sh").code).await;
    assert!(found.contains("permissions=1049744") && found.contains("✓ guild        Parlor Dev"), "{found}");
    assert!(page.text().contains("Together: 1049744."));

    // With an issuer of one's own.
    let keys = "https://login.example.com/.well-known/jwks.json";
    let mut parlord = first.start(&page.block("sh").with(keys, &Issuer::get().serve_keys().await).code);
    let address = parlord.until_it_serves().await;
    let token = Token { iss: "https://login.example.com/".to_owned(), ..Token::default() };
    let caller = discord
        .terminal(folder.path())
        .set("PARLOR_ADDR", address.to_string())
        .set("PARLOR_TOKEN", Issuer::get().sign(&token));
    assert!(caller.run("parlor guilds list").await.contains("Parlor Dev"));
    parlord.interrupt().await;

    // With the development key.
    let first = discord.terminal(folder.path());
    let dev = page.block("sh").with("parlord dev ", "parlord dev --emulator-listen 127.0.0.1:0 ");
    let mut parlord = first.start(&dev.code);
    parlord.until("Ctrl-C stops everything").await;
    parlord.interrupt().await;
    let mut parlord = first.start(&page.block("sh").code);
    let address = parlord.until_it_serves().await.to_string();

    let second = discord.terminal(folder.path()).set("PARLOR_ADDR", &address);
    let mut watch = second.start(&page.block("sh").code);
    for line in
        ["✓ health       serving: live, ready, discord-gateway", "permissions=1049744", "Parlor Dev\t", "2 guilds"]
    {
        watch.until(line).await;
    }
    watch.until("1 empty room").await;
    let guild = PARLOR_DEV.to_string();
    let printed = page.block("text").with("My guild", "Parlor Dev");
    discord.makes("ann", "Lobby").await;
    assert_eq!(without_time(&watch.until(" + ").await), without_time(printed.code.trim_end()));

    let third = discord.terminal(folder.path()).set("PARLOR_ADDR", &address);
    third.run(&page.block("sh").with("GUILD_ID", &guild).code).await;
    let printed = page.block("text").with("My guild", "Parlor Dev");
    for line in printed.code.lines() {
        assert_eq!(without_time(&watch.until(" room First room").await), without_time(line));
    }
    page.finish();
    watch.interrupt().await;
    parlord.interrupt().await;
}
