//! Walks on the kernel in memory, from the command line.

use std::collections::BTreeSet;
use std::fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use nix::pty::{Winsize, openpty};
use serde_json::Value;

use super::{Cli, Said};

/// Nobody in particular.
const USER: u32 = 54321;

/// Something that happens, and not at once.
const FOUND: &str = "simulate --from running kill state --never stopped";

fn told(said: &Said) -> String {
    let figures = |line: &&str| !line.starts_with("speed ") && !line.starts_with("memory ");
    said.out.lines().filter(figures).map(|line| format!("{line}\n")).collect()
}

/// What comes behind an empty line after which the diagram begins.
fn diagram(said: &Said) -> (String, String) {
    let (_, rest) = said.out.rsplit_once("\n\nkill ").unwrap_or(("", said.out.as_str()));
    let rest = rest.strip_prefix("kill ").unwrap_or(rest);
    let (diagram, replay) = rest.rsplit_once("\n\n").unwrap();
    (diagram.to_owned(), replay.trim_end().to_owned())
}

#[test]
fn a_walk_is_told_by_what_it_has_covered() {
    let cli = Cli::new("");
    let said = cli.say("simulate --from created --deaths 1 start state");
    assert_eq!((said.status, said.err.as_str()), (0, ""));
    assert!(said.out.contains("\nspeed        "), "{}", said.out);
    assert!(said.out.contains("\nmemory       "), "{}", said.out);
    insta::assert_snapshot!(told(&said));
}

#[test]
fn what_a_kernel_cannot_have_is_told() {
    let cli = Cli::new("");
    let said = cli.say("simulate --profile without-freezer --from paused state");
    assert_eq!((said.status, said.out.as_str()), (1, ""));
    assert!(said.err.starts_with("--from paused: "), "{}", said.err);
    let killed = cli.say("simulate --deaths 1 --never killed create");
    assert_eq!((killed.status, killed.err.as_str()), (1, "never: create: killed\n"));
}

#[test]
fn a_failure_is_told_by_its_reason_a_diagram_and_a_line_that_replays_it() {
    let cli = Cli::new("");
    let said = cli.say(FOUND);
    assert_eq!((said.status, said.err.as_str()), (1, "never: state: stopped\n"));
    let (diagram, replay) = diagram(&said);
    insta::assert_snapshot!(format!("{diagram}\n\n{replay}"));
    assert!(include_str!("../../README.md").contains(&replay), "README shows {replay}");
    // As a shell reads it.
    let run = |line: &str| {
        let path = std::env::join_paths([cli.place.path()]).unwrap();
        let mut shell = Command::new("/bin/busybox");
        cli.finish(shell.args(["sh", "-c", line]).env("PATH", path))
    };
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_cofferdam"), cli.path("cofferdam")).unwrap();
    let again = run(&replay);
    assert_eq!((again.status, again.err), (1, said.err));
    assert_eq!(again.out, format!("kill {diagram}\n\n{replay}\n"));
    let unasked = replay.replace("--never 'stopped'", "");
    assert_ne!(unasked, replay);
    let allowed = run(&unasked);
    assert_eq!((allowed.status, allowed.err.as_str()), (0, ""));
    assert!(allowed.out.starts_with(&format!("kill {diagram}\n")), "{}", allowed.out);
    let astray = run(&replay.replace("--replay '", "--replay '77 "));
    assert_eq!(astray.status, 1);
    assert_eq!(astray.err, "no choice 77 here: this is another scene\n");
}

#[test]
fn a_failure_is_drawn_as_one_whole_picture() {
    let cli = Cli::new("");
    let said = cli.say(&format!("{FOUND} --svg picture.svg"));
    assert_eq!(said.status, 1);
    let svg = cli.read("picture.svg");
    assert!(svg.starts_with("<svg xmlns=\"http://www.w3.org/2000/svg\""), "{svg}");
    let texts = texts(&svg);
    for line in diagram(&said).0.lines().skip(2) {
        let cells = line.split('|').map(str::trim).filter(|cell| !cell.is_empty());
        for cell in cells {
            assert!(texts.contains(cell), "{cell} is not in {texts:?}");
        }
    }
    assert!(!svg.contains("href") && !svg.contains("url("), "{svg}");
    let said = cli.say("simulate state --svg other.svg");
    assert_eq!(said.status, 0);
    assert!(!fs::exists(cli.path("other.svg")).unwrap(), "nothing has failed");
    let said = cli.say(&format!("{FOUND} --svg none/x.svg"));
    assert_eq!(
        (said.status, said.err.as_str()),
        (1, "write none/x.svg: no such file or directory\n")
    );
}

/// Reads XML as strictly as these files need it, and returns what stands between its tags.
fn texts(xml: &str) -> BTreeSet<String> {
    let (mut open, mut texts) = (Vec::new(), BTreeSet::new());
    let mut rest = xml.trim_end();
    while let Some(tag) = rest.strip_prefix('<') {
        let (tag, after) = tag.split_once('>').expect("a tag that ends");
        let name = tag.trim_matches('/').split(' ').next().unwrap();
        let values: Vec<_> = tag.split('"').collect();
        assert_eq!(values.len() % 2, 1, "quotes in pairs: {tag}");
        assert!(
            values
                .iter()
                .step_by(2)
                .skip(1)
                .all(|gap| gap.starts_with([' ', '/']) || gap.is_empty())
        );
        assert!(!tag.contains(['<', '&']), "{tag}");
        if tag.starts_with('/') {
            assert_eq!(open.pop(), Some(name), "{tag}");
        } else if !tag.ends_with('/') {
            open.push(name);
        }
        let (text, _) = after.split_at(after.find('<').unwrap_or(after.len()));
        rest = &after[text.len()..];
        let known = ["&lt;", "&gt;", "&amp;"];
        let entities = text.match_indices('&').map(|(at, _)| &text[at..]);
        for entity in entities {
            assert!(known.iter().any(|known| entity.starts_with(known)), "{entity}");
        }
        assert!(!open.is_empty() || text.is_empty(), "text behind the end: {text}");
        let plain = text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&");
        texts.insert(plain.trim().to_owned());
    }
    assert!(open.is_empty() && rest.is_empty(), "left open: {open:?}, left over: {rest}");
    texts
}

#[test]
fn programs_are_told_the_same() {
    let cli = Cli::new("");
    let line = "--deaths 1 create state --profile hybrid";
    let json: Value = serde_json::from_str(&cli.done(&format!("simulate {line} -f json"))).unwrap();
    let table = cli.done(&format!("simulate {line}"));
    for name in ["states", "transitions", "ends"] {
        let figure = table.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        assert_eq!(json[name].to_string(), figure.trim().replace(',', ""), "{name}");
    }
    assert_eq!((&json["failure"], &json["cut"]), (&Value::Null, &Value::from(0)));
    assert_eq!((&json["profile"], &json["from"]), (&"hybrid".into(), &"absent".into()));
    assert!(json["statesPerSecond"].as_u64() > Some(0) && json["peakBytes"].as_u64() > Some(0));
    let killed = &json["clients"][1]["ends"].as_array().unwrap().iter().map(|end| &end["told"]);
    let killed: Vec<_> = killed.clone().collect();
    assert_eq!(killed, ["container does not exist", "created", "creating", "killed", "stopped"]);
    let said = cli.say(&format!("{FOUND} --format json"));
    assert_eq!(said.status, 1);
    let json: Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!(json["failure"], "never: state: stopped");
    let last = json["steps"].as_array().unwrap().last().unwrap();
    assert_eq!((&last["client"], &last["told"]), (&"state".into(), &"stopped".into()));
}

#[test]
fn it_needs_no_privilege_and_writes_no_file() {
    let cli = Cli::new("");
    let mut copy = Command::new("/bin/busybox");
    copy.args(["cp", env!("CARGO_BIN_EXE_cofferdam"), &cli.path("cofferdam")]);
    assert!(copy.status().unwrap().success());
    fs::set_permissions(cli.place.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let names = || {
        let entries = fs::read_dir(cli.place.path()).unwrap();
        entries.map(|entry| entry.unwrap().file_name()).collect::<BTreeSet<_>>()
    };
    let before = names();
    // Whoever writes to any file is killed (setrlimit(2)).
    let script = "ulimit -f 0; exec ./cofferdam simulate create delete --deaths 1";
    let mut shell = Command::new("/bin/busybox");
    shell.args(["sh", "-c", script]).env_clear().current_dir(cli.place.path());
    let output = shell.uid(USER).gid(USER).stdin(Stdio::null()).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    assert!(output.status.success(), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stdout).contains("\nstates "), "{output:?}");
    assert_eq!(names(), before);
}

#[test]
fn a_walk_that_was_bounded_says_so() {
    let cli = Cli::new("");
    let figure = |out: &str, name: &str| -> usize {
        let line = out.lines().find_map(|line| line.strip_prefix(name));
        let digits = line.unwrap_or("0").trim_start().replace(',', "");
        digits.split(':').next().unwrap().parse().unwrap()
    };
    let whole = cli.done("simulate create state");
    assert_eq!(figure(&whole, "cut"), 0);
    let shallow = cli.done("simulate create state --depth 5");
    assert!(figure(&shallow, "cut") > 0 && figure(&shallow, "ends") == 0, "{shallow}");
    let few = cli.done("simulate create state --max-states 50");
    assert!((50..100).contains(&figure(&few, "states")), "{few}");
    assert!(figure(&whole, "states") > 100 && figure(&few, "cut") > 0);
}

#[test]
fn calls_fail_with_the_errors_that_were_chosen_or_with_all() {
    let cli = Cli::new("");
    let out = cli.done("simulate create --fault mkdirat=ENOSPC");
    assert!(out.contains("ENOSPC"), "{out}");
    assert!(!out.contains("EMFILE"), "{out}");
    assert!(out.contains("\nfaults       "), "{out}");
    let all = cli.done("simulate --from created start --faults 1");
    assert!(all.contains("EMFILE") && all.contains("EINTR"), "{all}");
}

#[test]
fn two_clients_that_ask_the_same_have_names_of_their_own() {
    let cli = Cli::new("");
    let said = cli.say("simulate state state --never state-2:");
    assert_eq!(said.status, 1);
    assert!(said.err.starts_with("never: state-2: openat2 "), "{}", said.err);
}

#[test]
fn what_there_is_not_is_refused() {
    let cli = Cli::new("");
    for (line, text) in [
        ("stat", "no request is called \"stat\""),
        ("state --profile v3", "invalid value for --profile: v3"),
        ("state --from gone", "invalid value for --from: gone"),
        ("state --deaths many", "invalid value for --deaths: many"),
        ("state --fault read", "invalid value for --fault: read: it is CALL=ERRNO"),
        ("state --format yaml", "invalid format option"),
        ("state state state state", "cofferdam: \"simulate\" requires a maximum of 3 argument(s)"),
    ] {
        let said = cli.say(&format!("simulate {line}"));
        assert_eq!((said.status, said.err), (1, format!("{text}\n")), "{line}");
    }
    let said = cli.say("simulate");
    assert_eq!(said.status, 1);
    assert!(said.out.contains("USAGE:\n   cofferdam simulate [command options] <request>"));
}

#[test]
fn a_terminal_sees_how_far_it_is() {
    let cli = Cli::new("");
    let size = Winsize { ws_row: 24, ws_col: 120, ws_xpixel: 0, ws_ypixel: 0 };
    let pty = openpty(&size, None).unwrap();
    let mut command = cli.command("simulate --deaths 1 create delete-force");
    let child = command.stderr(pty.slave).stdout(Stdio::null()).spawn();
    drop(command);
    assert!(child.unwrap().wait().unwrap().success());
    let mut shown = [0; 4096];
    let len = fs::File::from(pty.master).read(&mut shown).unwrap();
    let shown = String::from_utf8_lossy(&shown[..len]);
    assert!(shown.contains(" known states, ") && shown.contains(" per second, "), "{shown}");
}
