//! Filters of system calls, compiled, kept and held.

use std::fs;

use serde_json::{Value, json};

use super::Cli;

/// A container with a filter, and what its script says.
fn filtered(script: &str, seccomp: Value) -> Cli {
    Cli::edited(script, |config| config["linux"]["seccomp"] = seccomp)
}

const FULL: &str = "No space left on device";
const DENIED: &str = "Operation not permitted";

#[test]
fn a_filter_holds_and_is_compiled_once() {
    let script = "mkdir /tmp/x; chmod 700 /tmp; grep Seccomp: /proc/self/status";
    let cli = filtered(
        script,
        json!({
            "defaultAction": "SCMP_ACT_ALLOW",
            "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"],
            "syscalls": [
                { "names": ["mkdir", "mkdirat", "nosuchcall"], "action": "SCMP_ACT_ERRNO",
                  "errnoRet": 28 },
                { "names": ["chmod", "fchmodat"], "action": "SCMP_ACT_ERRNO" },
                { "names": ["read"], "action": "SCMP_ACT_ALLOW" },
            ],
        }),
    );
    for _ in 0..2 {
        let said = cli.say("run cli-filter");
        assert!(said.err.contains(FULL) && said.err.contains(DENIED), "{}", said.err);
        assert_eq!(said.out, "Seccomp:\t2\n");
        assert_eq!(fs::read_dir(cli.path("state/~filters")).unwrap().count(), 1);
    }
}

#[test]
fn a_kept_filter_that_is_damaged_is_compiled_anew() {
    let script = "mkdir /tmp/x";
    let rule = json!({ "names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 28 });
    let seccomp = json!({ "defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule] });
    let cli = filtered(script, seccomp);
    assert!(cli.say("run cli-damaged").err.contains(FULL));
    let mut kept = fs::read_dir(cli.path("state/~filters")).unwrap();
    let kept = kept.next().unwrap().unwrap().path();
    let whole = fs::read(&kept).unwrap();
    fs::write(&kept, &whole[..whole.len() - 8]).unwrap();
    assert!(cli.say("run cli-damaged").err.contains(FULL));
    assert_eq!(fs::read(&kept).unwrap(), whole);
}

#[test]
fn only_so_many_filters_are_kept_and_the_newest_of_them() {
    let rule = json!({ "names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 28 });
    let seccomp = json!({ "defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule] });
    let cli = filtered("mkdir /tmp/x", seccomp);
    fs::create_dir_all(cli.path("state/~filters")).unwrap();
    for number in 0..80_u64 {
        let file = fs::File::create(cli.path(&format!("state/~filters/{number}"))).unwrap();
        let made = std::time::UNIX_EPOCH + std::time::Duration::from_secs(number);
        file.set_modified(made).unwrap();
    }
    assert!(cli.say("run cli-many").err.contains(FULL));
    let kept = || fs::read_dir(cli.path("state/~filters")).unwrap();
    assert_eq!(kept().count(), 64);
    assert!(!fs::exists(cli.path("state/~filters/16")).unwrap());
    assert!(fs::exists(cli.path("state/~filters/17")).unwrap());
    let whole = |entry: std::io::Result<fs::DirEntry>| 0 < entry.unwrap().metadata().unwrap().len();
    assert_eq!(kept().map(whole).filter(|whole| *whole).count(), 1);
}

#[test]
fn conditions_must_all_hold_but_for_those_on_one_argument() {
    // chmod 700, 711, 722, 755 in turn; those that fail are counted.
    let script = "for m in 700 711 722 755; do chmod $m /tmp 2>/dev/null && echo $m; done";
    let only = |args: Value| {
        let rule = json!({ "names": ["chmod"], "action": "SCMP_ACT_ERRNO", "args": args });
        let cli = Cli::edited(script, |config| {
            config["root"]["readonly"] = json!(false);
            config["linux"]["seccomp"] =
                json!({ "defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule] });
        });
        cli.done("run cli-conditions").replace('\n', " ")
    };
    let is = |mode: u32| json!({ "index": 1, "value": mode, "op": "SCMP_CMP_EQ" });
    assert_eq!(only(json!([is(0o700)])), "711 722 755 ");
    assert_eq!(only(json!([is(0o700), is(0o722)])), "711 755 ", "either, as in runc");
    let masked = json!([{ "index": 1, "value": 0o22, "valueTwo": 0o22,
                          "op": "SCMP_CMP_MASKED_EQ" }]);
    assert_eq!(only(masked), "700 711 755 ");
    let between = json!([{ "index": 1, "value": 0o722, "op": "SCMP_CMP_GE" },
                         { "index": 0, "value": 0, "op": "SCMP_CMP_EQ" }]);
    assert_eq!(only(between), "700 711 722 755 ", "no path is null");
}

#[test]
fn a_further_process_has_the_filter_too() {
    let rule = json!({ "names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 28 });
    let seccomp = json!({ "defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule] });
    let cli = filtered("exec sleep 100", seccomp);
    cli.done("run -d cli-further");
    assert!(cli.say("exec cli-further busybox mkdir /tmp/x").err.contains(FULL));
}

#[test]
fn a_filter_can_kill() {
    let cli = filtered(
        "mkdir /tmp/x; echo $?",
        json!({
            "defaultAction": "SCMP_ACT_LOG",
            "syscalls": [{ "names": ["mkdir"], "action": "SCMP_ACT_KILL_PROCESS" }],
        }),
    );
    assert_eq!(cli.say("run cli-killing").out, "159\n", "128 and SIGSYS");
}

#[test]
fn an_engine_s_own_filter_holds_and_begins_with_what_is_newer() {
    let config: Value = serde_json::from_str(include_str!("../bundles/docker.json")).unwrap();
    let cli = filtered("grep Seccomp: /proc/self/status", config["linux"]["seccomp"].clone());
    for _ in 0..2 {
        assert_eq!(cli.done("run cli-engine"), "Seccomp:\t2\n");
    }
    let mut kept = fs::read_dir(cli.path("state/~filters")).unwrap();
    let kept = fs::read(kept.next().unwrap().unwrap().path()).unwrap();
    let lines = kept.iter().enumerate().filter(|(_, byte)| **byte == b'\n');
    let code = lines.map(|(at, _)| at + 1).nth(2).unwrap();
    // What stands first asks for the machine, and then for the number of the call.
    assert_eq!(kept[code..code + 2], [0x20, 0], "load");
    assert_eq!(kept[code + 8..code + 10], [0x15, 0], "compare the machine");
    assert_eq!(kept[code + 16..code + 18], [0x20, 0], "load");
}
