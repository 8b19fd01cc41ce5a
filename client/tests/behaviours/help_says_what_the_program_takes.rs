//! Help, completions, manual pages, and colours only where somebody sees them.

use parlor_e2e::House;

use crate::program::{bare, parlor, path, run};

#[tokio::test]
async fn help_names_variables_exit_codes_and_examples() {
    let help = run(bare(&["--help"])).await;
    assert_eq!((help.code, help.stderr.as_str()), (Some(0), ""));
    for word in ["PARLOR_ADDR", "PARLOR_TOKEN", "PARLOR_CA", "NO_COLOR", "Exit codes:", "Examples:", "--output"] {
        assert!(help.stdout.contains(word), "`{word}` is not in {}", help.stdout);
    }
    let commands = [
        &["rooms", "create"][..],
        &["rooms", "get"],
        &["rooms", "list"],
        &["rooms", "end"],
        &["participants", "list"],
        &["participants", "move"],
        &["participants", "disconnect"],
        &["participants", "mute"],
        &["participants", "deafen"],
        &["voice", "join"],
        &["voice", "leave"],
        &["voice", "watch"],
        &["voice", "play"],
        &["voice", "record"],
        &["webhooks", "create"],
        &["webhooks", "list"],
        &["webhooks", "delete"],
        &["webhooks", "execute"],
        &["guilds", "list"],
        &["events", "watch"],
        &["token"],
        &["doctor"],
        &["completions"],
        &["man"],
    ];
    for command in commands {
        let help = run(bare(&[command, &["--help"]].concat())).await;
        assert_eq!(help.code, Some(0), "{command:?}");
        assert!(help.stdout.contains("Example"), "{command:?} has no example: {}", help.stdout);
    }
    assert!(run(bare(&["--version"])).await.stdout.starts_with("parlor "));
}

/// A token in the environment does not stand in the help.
#[tokio::test]
async fn help_shows_no_secret() {
    let mut command = bare(&["rooms", "list", "--help"]);
    command.env("PARLOR_TOKEN", "canary");
    assert!(!run(command).await.stdout.contains("canary"));
}

#[tokio::test]
async fn completions_come_for_every_shell() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = run(bare(&["completions", shell])).await;
        assert_eq!(script.code, Some(0), "{script:?}");
        assert!(script.stdout.contains("cursor-file"), "{shell}");
    }
    // bash reads its own.
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("parlor.bash");
    std::fs::write(&file, run(bare(&["completions", "bash"])).await.stdout).unwrap();
    let ask = format!(
        "source {} && COMP_WORDS=(parlor rooms e) COMP_CWORD=2 && _parlor parlor e rooms && echo ${{COMPREPLY[@]}}",
        path(&file)
    );
    let output = tokio::process::Command::new("bash").args(["-c", &ask]).output().await.unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap().trim(), "end");
}

#[tokio::test]
async fn manual_pages_are_written() {
    let page = run(bare(&["man"])).await;
    assert!(page.stdout.contains(".TH parlor 1") && page.stdout.contains("PARLOR_ADDR"), "{page:?}");
    let home = tempfile::tempdir().unwrap();
    let directory = home.path().join("man1");
    assert_eq!(run(bare(&["man", path(&directory)])).await.code, Some(0));
    let watch = std::fs::read_to_string(directory.join("parlor-events-watch.1")).unwrap();
    assert!(watch.contains("cursor\\-file"), "{watch}");
}

#[tokio::test(flavor = "multi_thread")]
async fn colours_are_for_terminals() {
    let house = House::start().await;
    let escape = '\u{1b}';
    let piped = run(parlor(&house, &["doctor"])).await;
    assert!(!piped.stdout.contains(escape) && !piped.stderr.contains(escape), "{piped:?}");
    let wanted = run(parlor(&house, &["doctor", "--color", "always"])).await;
    assert!(wanted.stdout.contains(escape), "{wanted:?}");
    let failing = run(bare(&["rooms", "list"])).await;
    assert!(!failing.stderr.contains(escape), "{failing:?}");
}
