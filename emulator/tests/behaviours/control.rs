//! The control API: what it prints can be typed, and what it refuses it explains.

use discord_emulator::{ANN, Config, Emulator, GAMES, LOBBY, PARLOR_DEV};
use reqwest::{Client, Method};
use serde_json::{Value, json};

use crate::bot::{Reply, TOKEN};

struct Person {
    http: Client,
    base: String,
}

impl Person {
    fn new(emulator: &Emulator) -> Self {
        Self { http: Client::builder().no_proxy().build().unwrap(), base: emulator.control_url() }
    }

    async fn types(&self, method: Method, path: &str, body: &str) -> Reply {
        let request = self.http.request(method, format!("{}{path}", self.base)).body(body.to_owned());
        Reply::read(request.send().await.unwrap()).await
    }
}

/// Method, URL and body of a printed curl line.
fn parse_curl(line: &str) -> (Method, String, String) {
    let (mut method, mut body, mut url) = (Method::GET, String::new(), String::new());
    let mut rest = line.strip_prefix("curl ").unwrap();
    while !rest.is_empty() {
        let (word, after) = match rest.strip_prefix('\'') {
            Some(quoted) => quoted.split_once('\'').unwrap(),
            None => rest.split_once(' ').unwrap_or((rest, "")),
        };
        let after = after.trim_start();
        let mut value = || {
            let (value, after) = match after.strip_prefix('\'') {
                Some(quoted) => quoted.split_once('\'').unwrap(),
                None => after.split_once(' ').unwrap_or((after, "")),
            };
            rest = after.trim_start();
            value.to_owned()
        };
        match word {
            "-X" => method = value().parse().unwrap(),
            "-d" => {
                body = value();
                method = Method::POST;
            }
            _ => {
                url = format!("http://{word}");
                rest = after;
            }
        }
    }
    (method, url, body)
}

#[tokio::test]
async fn every_line_of_the_help_text_works_in_its_order() {
    let emulator = Emulator::start(Config::default()).await.unwrap();
    let bot = emulator.bot(TOKEN).unwrap();
    let person = Person::new(&emulator);
    let help = person.types(Method::GET, "", "").await.text;
    let lines: Vec<&str> = help.lines().filter(|line| line.starts_with("curl ")).collect();
    assert!(lines.len() > 15, "{help}");
    for line in lines {
        let typed = line.replace("BOT", &bot.to_string()).replace("GUILD", &PARLOR_DEV.to_string());
        let (method, url, body) = parse_curl(&typed);
        let reply = Reply::read(person.http.request(method, url).body(body).send().await.unwrap()).await;
        assert_eq!(reply.status, 200, "{typed}: {}", reply.text);
    }
}

#[tokio::test]
async fn a_channel_may_be_named_in_four_ways() {
    let emulator = Emulator::start(Config::default()).await.unwrap();
    let person = Person::new(&emulator);
    for (path, body) in [
        ("/users/ann/join", "games".to_owned()),
        ("/users/ann/join?channel=Lobby", String::new()),
        ("/users/ann/join", json!({"channel": GAMES}).to_string()),
        ("/users/ann/join", format!("channel={LOBBY}")),
    ] {
        let reply = person.types(Method::POST, path, &body).await;
        assert_eq!(reply.status, 200, "{}", reply.text);
        let here = reply.body["channel_id"].as_str().unwrap().parse().unwrap();
        assert!(emulator.rooms()[&here].contains(&ANN));
    }
    assert!(emulator.rooms()[&LOBBY].contains(&ANN));
}

#[tokio::test]
async fn refusals_say_what_to_do_next() {
    let emulator = Emulator::start(Config::default()).await.unwrap();
    let person = Person::new(&emulator);
    for (path, body, status, hint) in [
        ("/users/ann/join", "Attic", 404, "Lobby"),
        ("/users/ann/join", "", 400, "curl -d Lobby"),
        ("/users/ann/leave", "", 409, "/control/world"),
        ("/users/ann/dance", "", 404, "undeafen"),
        ("/guilds/Nowhere/down", "", 404, "Parlor Dev"),
        ("/faults", r#"{"fault":"clos"}"#, 400, "close"),
        ("/faults", r#"{"fault":"close","code":4000,"wen":1}"#, 400, "wen"),
        ("/faults", r#"{"fault":"rest","trouble":{"kind":"slow","millis":5,"wen":1}}"#, 400, "wen"),
        ("/nonsense", "", 404, "/control"),
        ("/bots/5/guilds/5", "", 404, "token"),
    ] {
        let reply = person.types(Method::POST, path, body).await;
        let error = reply.body["error"].as_str().unwrap_or_default();
        assert!(reply.status == status && error.contains(hint), "{path} {body}: {} {}", reply.status, reply.text);
    }
}

#[tokio::test]
async fn the_world_is_shown_with_its_people() {
    let emulator = Emulator::start(Config::default()).await.unwrap();
    emulator.user("ann").joins(LOBBY).streams(true);
    let world = Person::new(&emulator).types(Method::GET, "/world", "").await.body;
    let channels = world["guilds"][0]["channels"].as_array().unwrap();
    let lobby = channels.iter().find(|channel| channel["name"] == "Lobby").unwrap();
    assert_eq!(lobby["people"], json!(["ann"]));
    assert_eq!(world["guilds"][0]["voice_states"][0]["self_stream"], true);
    assert_eq!(channels.iter().find(|channel| channel["name"] == "Games").unwrap()["people"], Value::Array(vec![]));
}
