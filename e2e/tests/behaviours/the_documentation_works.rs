//! Every block of code in docs/ is run, in the order of its page, against Parlor and an emulated Discord.
//!
//! Blocks marked `text` are for a person to type or to read: a proxy's configuration, the steps with a real bot.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Stdio,
};

use parlor_e2e::{House, root, soon};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::Command,
};

/// A block of code: its language and its text.
struct Block {
    language: String,
    code: String,
}

fn blocks(page: &Path) -> Vec<Block> {
    let text = fs::read_to_string(page).unwrap();
    let mut blocks = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if let Some(language) = line.strip_prefix("```") {
            let code: Vec<&str> = lines.by_ref().take_while(|line| !line.starts_with("```")).collect();
            blocks.push(Block { language: language.to_owned(), code: code.join("\n") + "\n" });
        }
    }
    blocks
}

fn pages() -> Vec<PathBuf> {
    let mut pages = vec![root().join("docs/README.md")];
    for chapter in ["tutorial", "how-to", "explanation"] {
        pages.extend(fs::read_dir(root().join("docs").join(chapter)).unwrap().map(|entry| entry.unwrap().path()));
    }
    pages.sort();
    pages
}

/// Runs the blocks of a page in a folder of its own.
async fn run(house: &House, page: &Path) {
    let folder = tempfile::tempdir().unwrap();
    symlink(root().join("e2e/gen/js"), folder.path().join("gen")).unwrap();
    let packages = folder.path().join("node_modules");
    fs::create_dir_all(packages.join("@parlor")).unwrap();
    for package in ["@bufbuild", "@connectrpc"] {
        symlink(root().join("e2e/node_modules").join(package), packages.join(package)).unwrap();
    }
    symlink(root().join("client/web"), packages.join("@parlor/client")).unwrap();
    let tools = root().join(".deps/venv/bin");
    let path = format!("{}:{}", tools.display(), std::env::var("PATH").unwrap());
    for (number, Block { language, code }) in blocks(page).into_iter().enumerate() {
        let mut command = match language.as_str() {
            "sh" => {
                let mut command = Command::new("bash");
                command.args(["-euo", "pipefail", "-c", &code]);
                command
            }
            "python" => {
                let mut command = Command::new(tools.join("python"));
                command.args(["-c", &code]);
                command
            }
            "js" => {
                fs::write(folder.path().join("block.mjs"), code).unwrap();
                let mut command = Command::new("node");
                command.arg("block.mjs");
                command
            }
            // A program of its own, which another test runs.
            "rust" => {
                let programs =
                    ["client/examples/first_room.rs"].map(|program| fs::read_to_string(root().join(program)).unwrap());
                assert!(
                    programs.contains(&code),
                    "{}: block {number} is not the program that it says it is",
                    page.display()
                );
                continue;
            }
            "text" => continue,
            other => panic!("{}: block {number} is {other:?}, which nobody runs", page.display()),
        };
        command
            .current_dir(folder.path())
            .env("PATH", &path)
            .env("PARLOR_ADDR", house.api().to_string())
            .env("PARLOR_TOKEN", house.token())
            .env("PARLOR_REPOSITORY", root())
            .env("DISCORD", format!("http://{}", house.emulator.addr()));
        let what = format!("the end of block {number} ({language}) of {}", page.display());
        let output = soon(&what, command.kill_on_drop(true).output()).await.unwrap();
        let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}: block {number} ({language}) fails:\n{said}", page.display());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_block_of_every_page_runs() {
    let pages = pages();
    assert!(pages.len() >= 8, "{pages:?}");
    for page in pages {
        let house = House::start().await;
        run(&house, &page).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rust_program_runs() {
    let house = House::start().await;
    let example = std::env::current_exe().unwrap().ancestors().nth(2).unwrap().join("examples/first_room");
    let mut program = Command::new(example)
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

/// `make reference` writes the pages of docs/reference; this says when they are old.
#[test]
fn the_reference_is_what_contract_and_programs_say() {
    let program = |name: &str| std::env::current_exe().unwrap().ancestors().nth(2).unwrap().join(name);
    let pages = [
        ("api.md", parlor_e2e::reference::api()),
        ("parlor.md", parlor_e2e::reference::command_line(&program("parlor"))),
        ("parlord.md", parlor_e2e::reference::command_line(&program("parlord"))),
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
    let extra =
        ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "e2e/clients/README.md"].map(|page| root().join(page));
    for page in pages().into_iter().chain(extra) {
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
