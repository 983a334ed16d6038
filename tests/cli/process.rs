//! Further processes in a container.

use std::fs;

use cofferdam::backend::linux::Linux;
use cofferdam::sys::Syscalls;
use serde_json::json;

use super::{Cli, await_death};

/// A container that runs, named `id`.
fn running(id: &str) -> Cli {
    let cli = Cli::new("exec sleep 100");
    cli.done(&format!("run -d {id}"));
    cli
}

#[test]
fn exec_passes_output_and_exit_status_through() {
    let cli = running("cli-exec");
    assert_eq!(cli.done("exec cli-exec echo hello"), "hello\n");
    assert_eq!(cli.say("exec cli-exec false").status, 1);
    let mut command = cli.command("exec cli-exec sh -c");
    assert_eq!(cli.finish(command.arg("exit 42")).status, 42);
    let mut command = cli.command("exec cli-exec sh -c");
    assert_eq!(cli.finish(command.arg("kill -9 $$")).status, 137);
}

#[test]
fn what_says_nothing_new_to_exec_is_left_out() {
    let cli = running("cli-extra");
    let mut command = cli.command("exec --cwd");
    let said = cli.finish(command.args(["", "cli-extra", "sh", "-c", "pwd"]));
    assert_eq!((said.out.as_str(), said.err.as_str()), ("/\n", ""));
    let process = json!({ "args": ["echo", "file"], "cwd": "/", "env": ["PATH=/bin"] });
    let path = cli.write("process.json", &process.to_string());
    let said = cli.say(&format!("exec --process {path} cli-extra echo flags"));
    assert_eq!((said.status, said.out.as_str()), (0, "file\n"));
    assert!(said.err.contains("the command is ignored: --process has another"), "{}", said.err);
}

#[test]
fn failures_of_exec_itself_are_told_by_255() {
    let cli = running("cli-fail");
    let said = cli.say("exec cli-fail nosuch");
    let text = "exec failed: unable to start container process: exec: \"nosuch\": executable file \
                not found in $PATH\n";
    assert_eq!((said.status, said.err.as_str()), (255, text));
    let said = cli.say("exec cli-fail /nosuch");
    assert!(said.err.ends_with("no such file or directory\n"), "{}", said.err);
    let said = cli.say("exec cli-fail /etc/passwd");
    assert!(said.err.ends_with("permission denied\n"), "{}", said.err);
    for line in ["exec cli-fail", "exec --cwd x cli-fail ls", "exec --process-label x cli-fail ls"]
    {
        assert_eq!(cli.say(line).status, 255, "{line}");
    }
    cli.write("rootfs/tmp/script", "#!/no/such/interpreter\n");
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(cli.path("rootfs/tmp/script"), open).unwrap();
    let said = cli.say("exec cli-fail /tmp/script");
    assert!(said.err.ends_with("exec /tmp/script: no such file or directory\n"), "{}", said.err);
    cli.done("pause cli-fail");
    assert_eq!(cli.say("pause cli-fail").err, "container not running: it is paused\n");
    let said = cli.say("exec cli-fail ls");
    assert_eq!(
        said.err,
        "exec failed: cannot exec in a paused container (use --ignore-paused to override)\n"
    );
    cli.done("resume cli-fail");
    cli.done("kill cli-fail 9");
    cli.await_end("cli-fail");
    assert_eq!(
        cli.say("exec cli-fail ls").err,
        "exec failed: cannot exec in a stopped container\n"
    );
}

#[test]
fn flags_of_exec_change_the_process() {
    let cli = running("cli-flags");
    let flags = "exec -u 1000:1001 -g 7 -e A=b --cwd /tmp --cap CAP_NET_RAW cli-flags sh -c";
    let mut command = cli.command(flags);
    let said = cli.finish(command.arg("id; echo $A; pwd; grep CapBnd /proc/self/status"));
    assert_eq!((said.status, said.err.as_str()), (0, ""));
    insta::assert_snapshot!(said.out.replace('\t', " "), @"
    uid=1000 gid=1001 groups=7
    b
    /tmp
    CapBnd: 0000000020002420
    ");
}

#[test]
fn a_file_describes_the_process_whole() {
    let cli = running("cli-file");
    let mut process = json!({
        "terminal": false, "cwd": "/", "user": { "uid": 0, "gid": 0, "umask": 0o27 },
        "env": ["PATH=/bin"], "args": ["sh", "-c", "umask; exit 5"],
    });
    cli.write("process.json", &process.to_string());
    let said = cli.say("exec --process process.json --pid-file pid --tty cli-file");
    assert_eq!((said.status, &*said.out, &*said.err), (5, "0027\n", ""));
    fs::remove_file(cli.path("pid")).unwrap();
    process["args"] = json!(["true"]);
    cli.write("process.json", &process.to_string());
    assert_eq!(cli.done("exec --detach --process process.json --pid-file pid cli-file"), "");
    assert!(cli.read("pid").parse::<u32>().is_ok(), "no newline");
}

#[test]
fn a_detached_process_is_the_one_in_the_pid_file() {
    let cli = running("cli-detach");
    cli.done("exec -d --pid-file pid cli-detach sleep 50");
    let pid = cli.read("pid");
    let line = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap();
    assert_eq!(line, "sleep\x0050\0");
    assert_eq!(cli.done("ps -f json cli-detach").split(',').count(), 2);
    cli.done("kill -a cli-detach KILL");
    await_death(pid.parse().unwrap());
}

#[test]
fn a_process_joins_a_container_that_waits_to_be_started() {
    let cli = Cli::new("exec sleep 100");
    cli.done("create cli-early");
    assert_eq!(cli.done("exec cli-early echo early"), "early\n");
    assert_eq!(cli.state("cli-early")["status"], "created");
}

#[test]
fn a_file_that_says_nothing_of_powers_and_limits_leaves_them_as_the_container_s() {
    let cli = running("cli-powers");
    let script = "grep CapEff /proc/self/status; ulimit -n";
    let mut process = json!({
        "cwd": "/", "user": { "uid": 0, "gid": 0 }, "env": ["PATH=/bin"],
        "args": ["sh", "-c", script],
    });
    let mut say = |key: &str, value| {
        process[key] = value;
        cli.write("process.json", &process.to_string());
        cli.done("exec --process process.json cli-powers").replace('\t', " ")
    };
    assert_eq!(say("cwd", json!("/")), "CapEff: 0000000020000420\n1024\n");
    assert_eq!(say("capabilities", json!({})), "CapEff: 0000000000000000\n1024\n");
    let limits = json!([{ "type": "RLIMIT_NOFILE", "soft": 100, "hard": 200 }]);
    assert_eq!(say("rlimits", limits), "CapEff: 0000000000000000\n100\n");
}

#[test]
fn a_capability_that_nobody_knows_is_told_and_ignored() {
    let cli = running("cli-bogus");
    let said =
        cli.say("exec --cap BOGUS --cap CAP_NET_RAW cli-bogus grep CapEff /proc/self/status");
    assert_eq!((said.status, &*said.out), (0, "CapEff:\t0000000020002420\n"));
    let told = "ignoring unknown or unavailable capabilities: [BOGUS]";
    assert!(said.err.contains("level=warning") && said.err.contains(told), "{}", said.err);
}

#[test]
fn a_process_waits_in_a_paused_container_if_it_may() {
    let cli = running("cli-paused");
    cli.done("pause cli-paused");
    let mut command = cli.command("exec --ignore-paused cli-paused echo thawed");
    let said = fs::File::create(cli.path("said")).unwrap();
    let mut waiting = command.stdout(said).spawn().unwrap();
    // It is in the container's cgroup, and frozen like everybody there.
    while cli.done("ps -f json cli-paused").split(',').count() < 2 {
        assert_eq!(waiting.try_wait().unwrap(), None, "it has given up");
        Linux.poll([], 5).unwrap();
    }
    assert_eq!((waiting.try_wait().unwrap(), cli.read("said")), (None, String::new()));
    cli.done("resume cli-paused");
    assert!(waiting.wait().unwrap().success());
    assert_eq!(cli.read("said"), "thawed\n");
}

/// As a command of a user's own root: within a user namespace no device can be made or allowed.
#[test]
fn a_command_in_a_user_namespace_makes_containers_without_making_devices() {
    let cli = Cli::edited("id -u; echo x >/dev/null && echo written", |config| {
        let mounts = config["mounts"].as_array_mut().unwrap();
        let terminals = mounts.iter_mut().find(|mount| mount["type"] == "devpts").unwrap();
        // Its group is not mapped, as under `spec --rootless`.
        terminals["options"].as_array_mut().unwrap().retain(|option| option != "gid=5");
    });
    let run = cli.command("run cli-nested");
    let mut unshare = std::process::Command::new("unshare");
    unshare.args(["--user", "--map-root-user", "--mount", "--pid", "--fork", "--mount-proc"]);
    unshare.arg(run.get_program()).args(run.get_args());
    if let Some(dir) = run.get_current_dir() {
        unshare.current_dir(dir);
    }
    let said = cli.finish(&mut unshare);
    assert_eq!((said.status, &*said.out, &*said.err), (0, "0\nwritten\n", ""));
}
