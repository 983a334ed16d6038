//! What a container uses, as the command tells it.

use std::io::{BufRead, BufReader, Lines};
use std::process::{Child, ChildStdout, Stdio};

use serde_json::{Value, json};

use super::Cli;

/// What an event of that container begins with.
fn stats(id: &str) -> String {
    format!("{{\"type\":\"stats\",\"id\":\"{id}\",\"data\":{{\"cpu\":")
}

/// The command at work on a container, from its first event on.
fn watching(cli: &Cli, id: &str) -> (Child, Lines<BufReader<ChildStdout>>) {
    let mut command = cli.command(&format!("events --interval 50ms {id}"));
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let first = lines.next().unwrap().unwrap();
    assert!(first.starts_with(&stats(id)), "{first}");
    (child, lines)
}

#[test]
fn what_a_container_uses_is_a_line_of_json() {
    let cli = Cli::edited("exec sleep 100", |config| {
        config["linux"]["resources"] =
            json!({ "memory": { "limit": 64 << 20 }, "pids": { "limit": 7 } });
    });
    cli.done("run -d cli-events");
    let text = cli.done("events --stats cli-events");
    assert!(text.starts_with(&stats("cli-events")) && text.lines().count() == 1, "{text}");
    let event: Value = serde_json::from_str(&text).unwrap();
    let data = &event["data"];
    assert_eq!(data["pids"], json!({ "current": 1, "limit": 7 }));
    assert_eq!(data["memory"]["usage"]["limit"], 64 << 20);
    for figure in ["/memory/usage/usage", "/memory/raw/pgfault", "/cpu/usage/total"] {
        let value = data.pointer(figure).and_then(Value::as_u64);
        assert!(value.is_some_and(|value| 0 < value), "{figure}: {text}");
    }
}

#[test]
fn events_go_on_until_the_container_is_removed() {
    let cli = Cli::new("exec sleep 100");
    cli.done("run -d cli-watched");
    let (mut child, lines) = watching(&cli, "cli-watched");
    cli.done("delete --force cli-watched");
    for line in lines {
        let line = line.unwrap();
        assert!(line.starts_with(&stats("cli-watched")), "{line}");
    }
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn a_process_killed_for_want_of_memory_is_an_event() {
    let cli = Cli::edited("exec sleep 100", |config| {
        config["linux"]["resources"]["memory"] = json!({ "limit": 16 << 20 });
    });
    cli.done("run -d cli-hog");
    let (mut child, mut lines) = watching(&cli, "cli-hog");
    let mut hog = cli.command("exec cli-hog sh -c");
    let hog = cli.finish(hog.arg("x=$(dd if=/dev/zero bs=1M count=64 | tr '\\0' x)"));
    assert_ne!(hog.status, 0, "{}", hog.err);
    let oom = "{\"type\":\"oom\",\"id\":\"cli-hog\"}";
    assert!(lines.any(|line| line.unwrap() == oom), "no event");
    cli.done("delete --force cli-hog");
    assert!(lines.all(|line| line.is_ok()), "whole lines to the end");
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn events_that_cannot_be_had_are_refused() {
    let cli = Cli::new("true");
    cli.done("create cli-eventless");
    let err = |line: &str| cli.say(&format!("events {line}")).err;
    for none in ["0", "0s", "-1s"] {
        let said = err(&format!("--interval {none} cli-eventless"));
        assert_eq!(said, "duration interval must be greater than 0\n", "{none}");
    }
    let said = err("--interval x cli-eventless");
    assert_eq!(said, "invalid value \"x\" for flag -interval: parse error\n");
    assert_eq!(err("--stats cli-nobody"), "container does not exist\n");
    cli.done("kill cli-eventless 9");
    cli.await_end("cli-eventless");
    assert_eq!(err("cli-eventless"), "container with id cli-eventless is not running\n");
}
