//! Logs and sockets, as containerd, podman and docker have them.

use std::fs;

use cofferdam::backend::linux::Linux;
use cofferdam::sys::{Call, Kernel};
use serde_json::{Value, json};

use super::Cli;

#[test]
fn a_failure_is_one_entry_of_the_log_and_one_line_on_standard_error() {
    let cli = Cli::edited("", |config| config["process"]["args"] = json!(["/nosuch"]));
    let said = cli.say("--log log.json --log-format=json create --bundle . cli-log");
    assert_eq!(said.status, 1);
    let log = cli.read("log.json");
    assert_eq!(log.lines().count(), 1);
    let entry: Value = serde_json::from_str(&log).unwrap();
    assert_eq!(format!("{}\n", entry["msg"].as_str().unwrap()), said.err);
    assert_eq!(entry["level"], "error");
    assert_eq!(entry.as_object().map(|all| all.len()), Some(3));
    let time = entry["time"].as_str().unwrap();
    assert!(time.len() == 30 && time.ends_with('Z') && &time[10..11] == "T", "{time}");
    let text = "exec: \"/nosuch\": stat /nosuch: no such file or directory\n";
    assert!(said.err.ends_with(text), "{}", said.err);
}

#[test]
fn success_makes_no_log() {
    let cli = Cli::edited("true", |config| config["unknown"] = json!("a warning"));
    cli.done("--log log.json --log-format json create cli-quiet");
    assert!(!fs::exists(cli.path("log.json")).unwrap());
    cli.done("--debug --log log.json --log-format json run cli-debug");
    let entry: Value = serde_json::from_str(&cli.read("log.json")).unwrap();
    assert_eq!(entry["level"], "debug");
    assert!(entry["msg"].as_str().unwrap().contains("/unknown: unknown property"));
}

#[test]
fn a_log_of_text_is_as_runc_writes_it() {
    let cli = Cli::new("true");
    assert_eq!(cli.say("--log log.txt state x").err, "container does not exist\n");
    let log = cli.read("log.txt");
    assert!(log.starts_with("time=\"20"), "{log}");
    assert!(log.ends_with("\" level=error msg=\"container does not exist\"\n"), "{log}");
}

#[test]
fn what_cannot_be_honoured_is_refused() {
    let cli = Cli::new("true");
    for (flags, text) in [
        ("--systemd-cgroup", "--systemd-cgroup is not supported yet: use cgroupfs"),
        ("--cgroup-manager systemd", "--cgroup-manager systemd is not supported yet"),
        ("--rootless true", "--rootless true is not supported for root"),
    ] {
        let said = cli.say(&format!("{flags} create cli-refused"));
        assert_eq!(said.err, format!("cofferdam create failed: {text}\n"));
        assert_eq!(said.status, 1);
    }
    cli.done("--criu /usr/sbin/criu --rootless=auto run --no-new-keyring -no-subreaper cli-taken");
}

#[test]
fn a_socket_gets_a_descriptor_of_the_first_process() {
    let cli = Cli::new("exec sleep 100");
    let listener = std::os::unix::net::UnixListener::bind(cli.path("pidfd.sock")).unwrap();
    cli.done("run -d --pidfd-socket pidfd.sock cli-pidfd");
    let (stream, _) = listener.accept().unwrap();
    let pidfd = super::terminal::received(&stream).expect("one descriptor");
    Linux.call(Call::PidfdSendSignal { fd: pidfd.raw(), signal: 9 }).unwrap();
    cli.await_end("cli-pidfd");
}
