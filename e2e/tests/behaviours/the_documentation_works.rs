//! Every block of code in docs/ is run, in the order of its page, against Parlor and an emulated Discord. The addresses that
//! `make dev` has are replaced by those of the test; everything else is typed as it is printed.

use std::{fs, process::Stdio};

use discord_emulator::{LOBBY, PARLOR_DEV};
use parlor_client::Picture;
use parlor_e2e::{House, Page, Terminal, pages, programs, root, soon, workplace};
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::Command,
};

/// Pages that need more around them than a house; the test that is named runs all of their blocks.
const WITH_A_TEST_OF_THEIR_OWN: [(&str, &str); 4] = [
    ("README.md", "the_readme_works.rs"),
    ("docs/explanation/store.md", "a_person_can_be_removed.rs"),
    ("docs/how-to/deploy.md", "a_proxy_works_as_the_page_says.rs"),
    ("docs/how-to/real-bot.md", "a_real_bot_works_as_the_page_says.rs"),
];

/// Runs the blocks of a page in a folder of its own.
async fn run(house: &House, mut page: Page) {
    let folder = workplace();
    let terminal = Terminal::open(folder.path())
        .set("PARLOR_ADDR", house.api().to_string())
        .set("PARLOR_TOKEN", house.token())
        .set("PARLOR_REPOSITORY", root())
        .set("CALLER_DISCORD", house.emulator.addr().to_string())
        .set("CALLER_CA", house.voice_authority())
        .set("DISCORD", format!("http://{}", house.emulator.addr()));
    let name = page.name().to_owned();
    while let Some(block) = page.next_block() {
        let code = block
            .code
            .replace("127.0.0.1:50051", &house.api().to_string())
            .replace("127.0.0.1:50080", &house.emulator.addr().to_string());
        match block.language.as_str() {
            "sh" => drop(terminal.run(&code).await),
            // A program that goes on for good, which another test runs.
            "python" if code.contains("def frames(cursor)") => {
                let program = fs::read_to_string(root().join("e2e/clients/python/follow.py")).unwrap();
                assert_eq!(program, block.code, "{name}: this is not the program that it says it is");
            }
            "python" if code.contains("voice.OpenAudio(") => {
                let program = fs::read_to_string(root().join("e2e/clients/python/record_and_answer.py")).unwrap();
                assert_eq!(program, block.code, "{name}: this is not the program that it says it is");
            }
            "python" => {
                fs::write(folder.path().join("block.py"), &code).unwrap();
                terminal.run("python block.py").await;
            }
            "js" => {
                fs::write(folder.path().join("block.mjs"), &code).unwrap();
                terminal.run("node block.mjs").await;
            }
            // A program of its own, which another test runs.
            "rust" => {
                let example = if code.contains("parlor.events(") { "follow" } else { "first_room" };
                let program = fs::read_to_string(root().join(format!("client/examples/{example}.rs"))).unwrap();
                assert_eq!(program, code, "{name}: this is not the program that it says it is");
            }
            other => panic!("{name}: nobody runs {other:?}:\n{}", block.code),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_block_of_every_page_runs() {
    let mut pages = pages();
    assert!(pages.len() >= 9, "{pages:?}");
    for (page, test) in WITH_A_TEST_OF_THEIR_OWN {
        let index = pages.iter().position(|name| name == page).expect("the page is there");
        pages.remove(index);
        let test = fs::read_to_string(root().join("e2e/tests/behaviours").join(test)).unwrap();
        assert!(test.contains(&format!("Page::read(\"{page}\")")), "it reads {page}");
    }
    for page in pages {
        let house = House::start().await;
        run(&house, Page::read(&page)).await;
    }
}

/// The rest of that page is what the programs print, which other tests read.
#[tokio::test(flavor = "multi_thread")]
async fn the_client_programs_run_as_their_page_says() {
    let house = House::start().await;
    let terminal = Terminal::open(&root()).set("ADDRESS", house.api().to_string()).set("TOKEN", house.token());
    let guild = PARLOR_DEV.to_string();
    let access = "export PARLOR_ADDR=$ADDRESS PARLOR_TOKEN=$TOKEN";
    let create = ".deps/venv/bin/python e2e/clients/python/rooms.py create --guild";
    let made = terminal.run(&format!("{access}\n{create} {guild} --name Before")).await;
    let made: Value = serde_json::from_str(&made).unwrap();
    let mut page = Page::read("e2e/clients/README.md");
    let block = page
        .block("sh")
        .with("export PARLOR_ADDR=127.0.0.1:50051 PARLOR_TOKEN=…", access)
        .with(" ID ", &format!(" {guild} "))
        .with("--guild ID\n", &format!("--guild {guild}\n"))
        .with("CURSOR", made["cursor"].as_str().unwrap());
    // The last program waits for the first thing to happen in its room.
    let mut watcher = house.watch().await;
    let workshop = |picture: &Picture| picture.rooms().find(|room| room.display_name == "Workshop").cloned();
    let (printed, ()) = tokio::join!(terminal.run(&block.code), async {
        watcher.until(|picture| workshop(picture).is_some()).await;
        let room = workshop(watcher.picture()).expect("it is there");
        house.emulator.user("ann").joins(room.room_id.parse().unwrap());
    });
    let lines: Vec<Value> = printed.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let seen = |condition: &dyn Fn(&Value) -> bool| lines.iter().any(condition);
    assert!(seen(&|line| line["room"]["name"] == "Stage"), "rooms.py: {printed}");
    assert!(seen(&|line| line["end"] == "stdin"), "subscribe.py: {printed}");
    assert!(seen(&|line| line["end"] == "count"), "subscribe.mjs: {printed}");
    assert!(seen(&|line| line["kind"] == "participant_joined"), "rooms_and_events: {printed}");
    while let Some(shapes) = page.next_block() {
        assert_eq!(shapes.language, "text", "nobody runs\n{}", shapes.code);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rust_program_runs() {
    let house = House::start().await;
    let mut program = Command::new(programs().join("examples/first_room"))
        .env("PARLOR_ADDR", house.api().to_string())
        .env("PARLOR_TOKEN", house.token())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("cargo builds examples for a test of the workspace");
    let mut stderr = BufReader::new(program.stderr.take().unwrap()).lines();
    let made = soon("the room", stderr.next_line()).await.unwrap().expect("a line");
    house.emulator.user("ann").joins(made.strip_prefix("made ").expect("the room's id").parse().expect("an id"));
    let output = soon("the program's end", program.wait_with_output()).await.unwrap();
    assert!(output.status.success());
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.contains(" is in From Rust"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rust_program_that_follows_goes_on_where_it_was() {
    let house = House::start().await;
    let folder = workplace();
    let start = || {
        let mut program = Command::new(programs().join("examples/follow"))
            .current_dir(folder.path())
            .env("PARLOR_ADDR", house.api().to_string())
            .env("PARLOR_TOKEN", house.token())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("cargo builds examples for a test of the workspace");
        let lines = BufReader::new(program.stdout.take().unwrap()).lines();
        (program, lines)
    };
    let entry = |line: String| {
        let number = line.strip_prefix("entry ").and_then(|rest| rest.split_once(':'));
        number.unwrap_or_else(|| panic!("no entry: {line}")).0.parse::<u64>().unwrap()
    };
    let (mut first, mut lines) = start();
    let line = soon("the snapshot", lines.next_line()).await.unwrap().expect("a line");
    assert_eq!(line, "0 people in voice");
    house.emulator.user("ann").joins(LOBBY);
    let at = entry(soon("an event", lines.next_line()).await.unwrap().expect("a line"));
    first.kill().await.unwrap();
    house.emulator.user("ann").leaves();
    let (_second, mut lines) = start();
    let mut next = entry(soon("an event", lines.next_line()).await.unwrap().expect("a line"));
    if next == at {
        // It was killed between printing and storing: at worst one comes twice.
        next = entry(soon("an event", lines.next_line()).await.unwrap().expect("a line"));
    }
    assert_eq!(next, at + 1, "no snapshot, and nothing is missing");
}

/// `make reference` writes the pages of docs/reference; this says when they are old.
#[test]
fn the_reference_is_what_contract_and_programs_say() {
    let pages = [
        ("api.md", parlor_e2e::reference::api()),
        ("errors.md", parlor_e2e::reference::errors()),
        ("parlor.md", parlor_e2e::reference::command_line(&programs().join("parlor"))),
        ("parlord.md", parlor_e2e::reference::command_line(&programs().join("parlord"))),
    ];
    let folder = root().join("docs/reference");
    for (name, written) in pages {
        if std::env::var_os("WRITE_REFERENCE").is_some() {
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join(name), written).unwrap();
        } else {
            let kept = fs::read_to_string(folder.join(name)).unwrap_or_default();
            assert!(kept == written, "docs/reference/{name} is old: make reference");
        }
    }
}

/// Links between the pages, and from them into the repository, lead somewhere.
#[test]
fn every_link_leads_somewhere() {
    let extra = ["ARCHITECTURE.md", "CONTRIBUTING.md", "e2e/clients/README.md"].map(ToOwned::to_owned);
    for page in pages().into_iter().chain(extra) {
        let page = root().join(page);
        let text = fs::read_to_string(&page).unwrap();
        for link in text.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(link, _)| link) {
            let target = link.split('#').next().unwrap();
            if target.is_empty() || target.contains("://") {
                continue;
            }
            let path = page.parent().unwrap().join(target);
            assert!(path.exists(), "{} links to {link}, which is not there", page.display());
        }
    }
}
