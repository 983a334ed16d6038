//! Containers from their making to their removal.

use std::fs;
use std::io::Read;
use std::process::{Command, Stdio};

use cofferdam::run::Exit;
use serde_json::json;

use super::common::cgroups_named;
use super::{Cli, await_death};

#[test]
fn a_container_is_created_started_killed_and_deleted() {
    let cli = Cli::new("exec sleep 100");
    assert_eq!(cli.done("create --pid-file pid cli-life"), "");
    let state = cli.state("cli-life");
    assert_eq!(state["status"], "created");
    assert_eq!(state["pid"].to_string(), cli.read("pid"), "no newline");
    assert_eq!(state["bundle"], json!(cli.place.bundle()));
    assert_eq!(state["owner"], "");
    cli.done("start cli-life");
    assert_eq!(cli.state("cli-life")["status"], "running");
    assert_eq!(cli.done("ps --format json cli-life"), format!("[{}]\n", cli.read("pid")));
    assert!(cli.done("ps cli-life").contains("sleep 100"));
    assert_eq!(
        cli.say("delete cli-life").err,
        "cannot delete container cli-life that is not stopped: running\n"
    );
    cli.done("kill cli-life KILL");
    await_death(cli.read("pid").parse().unwrap());
    let state = cli.state("cli-life");
    assert_eq!((&state["status"], &state["pid"]), (&json!("stopped"), &json!(0)));
    assert_eq!(cli.say("kill cli-life").err, "container not running\n");
    cli.done("kill --all cli-life 9");
    assert_eq!(cli.done("ps -f json cli-life"), "[]\n");
    cli.done("delete cli-life");
    assert_eq!(cgroups_named("cli-life"), [""; 0]);
    assert_eq!(cli.done("list -q"), "");
}

#[test]
fn the_state_has_its_properties_in_the_order_that_people_expect() {
    let cli = Cli::edited("true", |config| config["annotations"] = json!({ "a": "b" }));
    cli.done("create cli-order");
    let text = cli.done("state cli-order");
    let keys: Vec<_> = text.lines().filter_map(|line| line.trim().split(':').next()).collect();
    let expected = [
        "{",
        "\"ociVersion\"",
        "\"id\"",
        "\"pid\"",
        "\"status\"",
        "\"bundle\"",
        "\"rootfs\"",
        "\"created\"",
        "\"annotations\"",
        "\"a\"",
        "}",
        "\"owner\"",
        "}",
    ];
    let keys: Vec<_> = keys.iter().map(|key| key.trim_end_matches(',')).collect();
    assert_eq!(keys, expected);
}

#[test]
fn run_passes_output_and_exit_status_through() {
    for (script, status) in [("exit 0", 0), ("exit 3", 3), ("kill -9 $$; true", 0)] {
        let cli = Cli::new(script);
        assert_eq!(
            cli.say("run cli-status").status,
            status,
            "{script}: pid 1 does not kill itself"
        );
    }
    let cli = Cli::new("cat; echo err >&2");
    let input = cli.write("input", "some input\n");
    let mut command = cli.command("run cli-output");
    let said = cli.finish(command.stdin(fs::File::open(input).unwrap()));
    assert_eq!((said.status, &*said.out, &*said.err), (0, "some input\n", "err\n"));
    assert_eq!(cli.done("list -q"), "", "it is removed");
    assert_eq!(cgroups_named("cli-output"), [""; 0]);
}

#[test]
fn a_signal_for_run_is_for_the_container() {
    let script = "trap 'echo usr1; exit 7' USR1; echo ready; while :; do sleep 0.01; done";
    let cli = Cli::new(script);
    let mut child = cli.command("run cli-signal").stdout(Stdio::piped()).spawn().unwrap();
    let mut out = child.stdout.take().unwrap();
    let mut ready = [0; 6];
    out.read_exact(&mut ready).unwrap();
    nix::sys::signal::kill(pid(&child), nix::sys::signal::Signal::SIGUSR1).unwrap();
    let mut rest = String::new();
    out.read_to_string(&mut rest).unwrap();
    assert_eq!((rest.as_str(), child.wait().unwrap().code()), ("usr1\n", Some(7)));
}

#[test]
fn a_container_that_is_killed_is_told_by_the_exit_status_of_run() {
    let cli = Cli::new("echo ready; exec sleep 100");
    let mut child = cli.command("run cli-killed").stdout(Stdio::piped()).spawn().unwrap();
    let mut ready = [0; 6];
    child.stdout.take().unwrap().read_exact(&mut ready).unwrap();
    cli.done("kill cli-killed 9");
    assert_eq!(child.wait().unwrap().code(), Some(Exit::Signal(9).status()));
    assert_eq!(cli.done("list -q"), "");
}

#[test]
fn run_keeps_a_container_that_is_to_be_kept_and_leaves_one_that_is_detached() {
    let cli = Cli::new("exit 4");
    assert_eq!(cli.say("run --keep cli-keep").status, 4);
    assert_eq!(cli.state("cli-keep")["status"], "stopped");
    cli.done("delete cli-keep");
    let cli = Cli::new("exec sleep 100");
    cli.done("run -d cli-detached");
    assert_eq!(cli.state("cli-detached")["status"], "running");
    cli.done("delete -f cli-detached");
}

#[test]
fn a_program_that_is_not_there_fails_the_create_and_leaves_nothing() {
    let cli = Cli::edited("", |config| config["process"]["args"] = json!(["nosuch"]));
    let tail = "unable to start container process: exec: \"nosuch\": executable file not found \
                in $PATH\n";
    let said = cli.say("create cli-nosuch");
    assert_eq!((said.status, said.err), (1, format!("cofferdam create failed: {tail}")));
    let said = cli.say("run cli-nosuch");
    assert_eq!((said.status, said.err), (1, format!("cofferdam run failed: {tail}")));
    assert_eq!(cli.done("list -q"), "");
    assert_eq!(cgroups_named("cli-nosuch"), [""; 0]);
}

#[test]
fn what_init_has_left_behind_is_killed_in_its_place() {
    let cli = Cli::edited("exec sleep 100", |config| {
        let namespaces = config["linux"]["namespaces"].as_array_mut().unwrap();
        namespaces.retain(|namespace| namespace["type"] != "pid");
    });
    cli.done("run -d --pid-file pid cli-left");
    cli.done("exec -d --pid-file other cli-left sleep 100");
    nix::sys::signal::kill(
        nix::unistd::Pid::from_raw(cli.read("pid").parse().unwrap()),
        nix::sys::signal::Signal::SIGKILL,
    )
    .unwrap();
    cli.await_end("cli-left");
    assert_eq!(cli.say("kill cli-left TERM").err, "container not running\n");
    cli.done("kill cli-left KILL");
    await_death(cli.read("other").parse().unwrap());
    cli.done("delete cli-left");
}

#[test]
fn an_id_is_taken_once() {
    let cli = Cli::new("true");
    cli.done("create cli-twice");
    let said = cli.say("create cli-twice");
    assert_eq!(said.err, "cofferdam create failed: container with given ID already exists\n");
    assert_eq!(cli.state("cli-twice")["status"], "created");
    cli.done("delete cli-twice");
}

#[test]
fn a_pid_file_that_cannot_be_written_undoes_the_container() {
    let cli = Cli::new("exec sleep 100");
    for line in ["create --pid-file no/such/dir cli-pid", "run -d --pid-file no/such cli-pid"] {
        let said = cli.say(line);
        assert_eq!(said.status, 1, "{line}");
        assert!(said.err.ends_with("no such file or directory\n"), "{}", said.err);
        assert_eq!(cli.done("list -q"), "", "{line}");
    }
}

#[test]
fn descriptors_are_preserved_as_far_as_asked_and_no_further() {
    let cli = Cli::new("cat <&3; ls /proc/self/fd | grep -v -x -e 0 -e 1 -e 2");
    let pass = |line: &str| {
        let mut shell = Command::new("sh");
        let command = format!("exec 3<given 4<given 5<given; exec \"$0\" --root state {line}");
        shell.args(["-c", &command, env!("CARGO_BIN_EXE_cofferdam")]);
        cli.finish(shell.current_dir(cli.place.path()).stdin(Stdio::null()))
    };
    cli.write("given", "given\n");
    let said = pass("run --preserve-fds 2 cli-fds");
    // The listing opens the next free one itself.
    assert_eq!((said.status, &*said.out, &*said.err), (0, "given\n3\n4\n5\n", ""));
    let said = pass("run --preserve-fds 4 cli-fds");
    assert_eq!(said.status, 1);
    assert!(said.err.contains("preserved-fd 3, descriptor 6: bad file descriptor"), "{}", said.err);
}

#[test]
fn sockets_of_a_service_manager_are_handed_on() {
    let cli = Cli::new("echo $LISTEN_FDS $LISTEN_PID; cat <&3");
    cli.write("given", "given\n");
    let mut shell = Command::new("sh");
    let command =
        "exec 3<given; LISTEN_FDS=1 LISTEN_PID=$$ exec \"$0\" --root state run cli-listen";
    shell.args(["-c", command, env!("CARGO_BIN_EXE_cofferdam")]);
    let said = cli.finish(shell.current_dir(cli.place.path()).stdin(Stdio::null()));
    assert_eq!((said.status, &*said.out, &*said.err), (0, "1 1\ngiven\n", ""));
}

#[test]
fn a_user_namespace_has_its_own_ids() {
    let cli = Cli::edited("id -u; cat /proc/self/uid_map; touch /tmp/x && echo made", |config| {
        config["root"]["readonly"] = json!(false);
        let namespaces = config["linux"]["namespaces"].as_array_mut().unwrap();
        namespaces.push(json!({ "type": "user" }));
        let map = json!([{ "containerID": 0, "hostID": 100_000, "size": 65_536 }]);
        config["linux"]["uidMappings"] = map.clone();
        config["linux"]["gidMappings"] = map;
        config["mounts"].as_array_mut().unwrap().push(json!({
            "destination": "/tmp", "type": "tmpfs", "source": "tmpfs", "options": ["mode=1777"],
        }));
    });
    // The mapped root must be able to walk to its root file system.
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(cli.place.path(), open).unwrap();
    let said = cli.say("run cli-users");
    assert_eq!((said.status, &*said.err), (0, ""));
    let words: Vec<_> = said.out.split_whitespace().collect();
    assert_eq!(words, ["0", "0", "100000", "65536", "made"]);
}

#[test]
fn mounts_may_stand_in_podman_s_order() {
    let cli = Cli::edited("ls -d /dev/pts/ptmx /sys/kernel", |config| {
        let mounts = config["mounts"].as_array_mut().unwrap();
        mounts.sort_by_key(|mount| mount["destination"] != "/sys");
        // What is there already may be made only where it is missing: /proc, /dev, then /sys.
        mounts[..3].rotate_left(1);
    });
    assert_eq!(cli.done("run cli-order-of-mounts"), "/dev/pts/ptmx\n/sys/kernel\n");
}

#[test]
fn the_caller_s_streams_are_not_kept_open() {
    let cli = Cli::new("exec sleep 100 >/dev/null 2>&1");
    let (read, write) = nix::unistd::pipe().unwrap();
    let mut command = cli.command("run -d cli-streams");
    command.stdout(Stdio::from(write)).stderr(Stdio::null());
    assert!(command.status().unwrap().success());
    drop(command);
    let mut all = String::new();
    fs::File::from(read).read_to_string(&mut all).unwrap();
    assert_eq!(all, "", "end of file while the container runs");
    assert_eq!(cli.state("cli-streams")["status"], "running");
}

fn pid(child: &std::process::Child) -> nix::unistd::Pid {
    nix::unistd::Pid::from_raw(child.id().try_into().unwrap())
}

#[test]
fn a_limit_of_no_processes_is_no_limit() {
    for (limit, expected) in [(0, "max\n"), (-1, "max\n"), (7, "7\n")] {
        let cli = Cli::edited("true", |config| {
            config["linux"]["resources"]["pids"] = json!({ "limit": limit });
        });
        cli.done("create cli-pids");
        let dirs = cgroups_named("cli-pids").into_iter().map(|dir| format!("{dir}/pids.max"));
        let read: Vec<_> = dirs.filter_map(|file| fs::read_to_string(file).ok()).collect();
        assert_eq!(read, [expected], "{limit}");
        cli.done("delete cli-pids");
    }
}

#[test]
fn the_end_of_a_container_is_seen_though_the_caller_ignores_the_ends_of_children() {
    let cli = Cli::edited("exit 7", |config| {
        let hook = json!([{ "path": "/bin/true" }]);
        config["hooks"] = json!({ "createRuntime": hook, "poststop": hook });
    });
    let mut ignoring = Command::new("env");
    let command = cli.command("run cli-deaf");
    ignoring.args(["--ignore-signal=CHLD", "timeout", "20"]).arg(command.get_program());
    ignoring.args(command.get_args()).current_dir(cli.place.path());
    let said = cli.finish(&mut ignoring);
    assert_eq!((said.status, said.err.as_str()), (7, ""));
    assert_eq!(cli.done("list -q"), "");
}

#[test]
fn a_closed_stream_is_no_door_for_what_the_command_opens() {
    let cli = Cli::new("exec sleep 100");
    let closed = |line: &str| {
        let command = cli.command(line);
        let mut shell = Command::new("timeout");
        shell.args(["20", "sh", "-c", "exec \"$@\" <&- >&- 2>&-", "sh"]);
        shell.arg(command.get_program()).args(command.get_args());
        assert!(shell.current_dir(cli.place.path()).status().unwrap().success(), "{line}");
    };
    for lines in [&["run -d cli-closed"][..], &["create cli-closed", "start cli-closed"]] {
        lines.iter().for_each(|line| closed(line));
        let pid = cli.state("cli-closed")["pid"].to_string();
        for fd in ["0", "1", "2"] {
            let path = fs::read_link(format!("/proc/{pid}/fd/{fd}")).unwrap();
            assert_eq!(path.to_str(), Some("/dev/null"), "{lines:?}: {fd}");
        }
        cli.done("delete -f cli-closed");
    }
    cli.done("run -d cli-closed");
    closed("exec -d --pid-file pid cli-closed sleep 100");
    for fd in ["0", "1", "2"] {
        let path = fs::read_link(format!("/proc/{}/fd/{fd}", cli.read("pid"))).unwrap();
        assert_eq!(path.to_str(), Some("/dev/null"), "exec: {fd}");
    }
}
