//! Hooks: where they run, what they read, and what is told of their failure.

use serde_json::{Value, json};

use super::Cli;

/// A hook that is a script, with what else is said of it.
fn script(script: &str, more: Value) -> Value {
    let mut hook = json!({ "path": "/bin/sh", "args": ["sh", "-c", script] });
    hook.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    hook
}

/// A container that prints, with hooks of one kind.
fn hooked(kind: &str, hooks: Value) -> Cli {
    Cli::edited("echo payload", |config| config["hooks"] = json!({ kind: hooks }))
}

/// Hooks at the start run as the program will, whichever request starts it.
#[test]
fn hooks_at_the_start_read_created_and_are_as_the_program() {
    let cli = Cli::edited("true", |config| {
        config["root"]["readonly"] = json!(false);
        config["process"]["user"]["umask"] = json!(0o027);
        let tell = "cat >/log; echo >>/log; umask >>/log; echo $HOME >>/log";
        config["hooks"]["startContainer"] = json!([script(tell, json!({}))]);
        config["hooks"]["createContainer"] = json!([script("cat >/dev/null", json!({}))]);
    });
    let told = || {
        let log = cli.read("rootfs/log");
        let mut lines = log.lines();
        let state: Value = serde_json::from_str(lines.next().unwrap()).unwrap();
        assert_eq!((state["status"].as_str(), state["pid"].as_u64()), (Some("created"), Some(1)));
        assert_eq!(lines.collect::<Vec<_>>(), ["0027", "/root"]);
    };
    cli.done("run cli-start");
    told();
    cli.done("create cli-start");
    cli.done("start cli-start");
    cli.await_end("cli-start");
    cli.done("delete cli-start");
    told();
}

const KINDS: [&str; 6] =
    ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"];

#[test]
fn hooks_run_in_order_with_the_state_on_their_input() {
    let cli = Cli::new("grep -c startContainer /log >/seen");
    let (host, inside) = (cli.path("rootfs/log"), "/log");
    let mut config: Value = serde_json::from_str(&cli.read("config.json")).unwrap();
    config["root"]["readonly"] = json!(false);
    config["annotations"] = json!({ "a": "b" });
    for kind in KINDS {
        let path = if kind == "startContainer" { inside } else { &host };
        let hook = format!("printf '{kind} ' >>{path}; cat >>{path}; echo >>{path}");
        config["hooks"][kind] = json!([script(&hook, json!({}))]);
    }
    cli.write("config.json", &config.to_string());
    cli.done("create cli-hooks");
    let pid = cli.state("cli-hooks")["pid"].as_u64().unwrap();
    cli.done("start cli-hooks");
    cli.await_end("cli-hooks");
    assert_eq!(cli.read("rootfs/seen"), "1\n", "the program comes after it");
    cli.done("delete cli-hooks");
    let log = cli.read("rootfs/log");
    let mut seen = Vec::new();
    for (kind, state) in log.lines().filter_map(|line| line.split_once(' ')) {
        let state: Value = serde_json::from_str(state).unwrap();
        assert_eq!(state["id"], "cli-hooks");
        assert_eq!(state["bundle"], cli.place.bundle());
        assert_eq!(state["annotations"]["a"], "b");
        seen.push((kind, state["status"].as_str().unwrap().to_owned(), state["pid"].as_u64()));
    }
    let expected = [
        ("prestart", "creating", Some(pid)),
        ("createRuntime", "creating", Some(pid)),
        ("createContainer", "creating", Some(1)),
        ("startContainer", "created", Some(1)),
        ("poststart", "running", Some(pid)),
        ("poststop", "stopped", None),
    ];
    assert_eq!(seen, expected.map(|(kind, status, pid)| (kind, status.to_owned(), pid)), "{log}");
}

#[test]
fn a_failed_hook_is_told_with_its_number_its_status_and_what_it_said() {
    let good = script("echo unheard; echo unheard >&2", json!({}));
    let bad = script("echo out; echo err >&2; exit 3", json!({}));
    for kind in ["prestart", "createRuntime", "createContainer", "startContainer", "poststart"] {
        let cli = hooked(kind, json!([good, bad]));
        let said = cli.say("run cli-hook-fails");
        let told = format!("error running {kind} hook #1: exit status 3");
        let expected = format!(
            "cofferdam run failed: unable to start container process: {told}, stdout: out\n, \
             stderr: err\n\n"
        );
        assert_eq!((said.status, said.err), (1, expected));
        assert!(!said.out.contains("unheard"), "{}", said.out);
        assert_eq!(cli.done("list -q"), "");
    }
    let said = hooked("poststop", json!([bad])).say("run cli-hook-fails");
    assert_eq!((said.status, &*said.out), (0, "payload\n"), "it only warns");
    let told = "error running poststop hook #0: exit status 3, stdout: out\\n, stderr: err";
    assert!(said.err.contains(told), "{}", said.err);
    let cli = hooked("startContainer", json!([good, bad]));
    cli.done("create cli-hook-fails");
    let said = cli.say("start cli-hook-fails");
    let told =
        "error running startContainer hook #1: exit status 3, stdout: out\n, stderr: err\n\n";
    let expected = format!("unable to start container process: {told}");
    assert_eq!((said.status, said.err, &*said.out), (1, expected, ""));
}

#[test]
fn what_a_hook_that_ends_well_has_written_is_nobodys() {
    for kind in KINDS {
        let cli = hooked(kind, json!([script("echo unheard; echo unheard >&2", json!({}))]));
        assert_eq!(cli.done("run cli-hook-quiet"), "payload\n", "{kind}");
    }
}

#[test]
fn a_hook_that_is_killed_or_not_there_is_told_so() {
    for kind in KINDS {
        let cli = hooked(kind, json!([{ "path": "/no/such/hook" }]));
        let told = format!(
            "error running {kind} hook #0: fork/exec /no/such/hook: no such file or directory"
        );
        let said = cli.say("run cli-hook-missing");
        assert!(said.err.contains(&told), "{kind}: {}", said.err);
        let cli = hooked(kind, json!([script("kill -9 $$", json!({}))]));
        let said = cli.say("run cli-hook-killed");
        let told = format!("error running {kind} hook #0: signal: killed");
        assert!(said.err.contains(&told), "{kind}: {}", said.err);
    }
}

#[test]
fn only_the_end_of_much_output_is_told() {
    let much = "i=0; while [ $i -lt 3000 ]; do echo line $i; i=$((i+1)); done; exit 1";
    for kind in ["createRuntime", "createContainer"] {
        let said = hooked(kind, json!([script(much, json!({}))])).say("run cli-hook-much");
        assert!(said.err.contains("stdout: ... "), "{}", said.err);
        assert!(said.err.contains("line 2999\n, stderr: \n"), "{}", said.err);
        assert!(said.err.len() < 5000, "{} bytes", said.err.len());
    }
}

#[test]
fn what_a_hook_leaves_behind_holds_nobody_up() {
    let cli = Cli::new("echo payload");
    let mut config: Value = serde_json::from_str(&cli.read("config.json")).unwrap();
    // It has the hook's streams open, and would be waited for if those were pipes.
    let hook = script(&format!("sleep 1000 & echo $! >{}", cli.path("pid")), json!({}));
    config["hooks"] = json!({ "createRuntime": [hook] });
    cli.write("config.json", &config.to_string());
    assert_eq!(cli.done("run cli-hook-behind"), "payload\n");
    let left = cli.read("pid").trim().parse().unwrap();
    let killed =
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(left), nix::sys::signal::Signal::SIGKILL);
    assert_eq!(killed, Ok(()), "it is still there");
}

#[test]
fn a_hook_that_takes_too_long_is_killed_and_told_so() {
    for kind in KINDS {
        let cli = Cli::new("echo payload");
        let path = if kind == "startContainer" { "/pid" } else { &cli.path("rootfs/pid") };
        let long = format!("echo $$ >{path}; exec sleep 1000");
        // The first is in time even where a process takes a second to be born.
        let hooks = [("sleep 0.1", 60), (&long, 2)];
        let hooks = hooks.map(|(hook, limit)| script(hook, json!({ "timeout": limit })));
        let mut config: Value = serde_json::from_str(&cli.read("config.json")).unwrap();
        config["root"]["readonly"] = json!(false);
        config["hooks"] = json!({ kind: hooks });
        // The end of init would be the end of every process of its own pid namespace.
        let namespaces = config["linux"]["namespaces"].as_array_mut().unwrap();
        namespaces.retain(|namespace| namespace["type"] != "pid");
        cli.write("config.json", &config.to_string());
        let said = cli.say("run cli-hook-long");
        let told = format!("error running {kind} hook #1: hook ran past specified timeout of 2.0s");
        assert!(said.err.contains(&told), "{kind}: {}", said.err);
        assert_eq!(said.status, i32::from(kind != "poststop"), "{kind}");
        super::await_death(cli.read("rootfs/pid").trim().parse().unwrap());
        assert_eq!(cli.done("list -q"), "", "{kind}");
    }
}

#[test]
fn a_hook_is_not_taken_for_one_that_another_has_left_behind() {
    // Init is given what the first leaves; it ends while the second runs.
    let first = script("(sleep 0.3; exit 0) >/dev/null 2>&1 &", json!({}));
    let second = script("sleep 1; exit 5", json!({}));
    for kind in ["createContainer", "startContainer"] {
        let said = hooked(kind, json!([first, second])).say("run cli-hook-orphan");
        let told = format!("error running {kind} hook #1: exit status 5");
        assert!(said.status == 1 && said.err.contains(&told), "{kind}: {}", said.err);
    }
}

#[test]
fn a_hook_has_its_place_and_its_environment() {
    let cli = Cli::new("true");
    let mut config: Value = serde_json::from_str(&cli.read("config.json")).unwrap();
    config["root"]["readonly"] = json!(false);
    config["process"]["cwd"] = json!("/tmp");
    config["process"]["env"] = json!(["PATH=/bin", "OF=program"]);
    for kind in KINDS {
        let log = if kind == "startContainer" { "/log" } else { &cli.path("rootfs/log") };
        let line = |name| format!("/bin/busybox echo {kind} {name} $PWD $OF $A >>{log}");
        let given = json!({ "env": ["A=B"] });
        config["hooks"][kind] =
            json!([script(&line("given"), given), script(&line("none"), json!({}))]);
    }
    cli.write("config.json", &config.to_string());
    let bundle = cli.place.bundle();
    for command in [&format!("create --bundle {bundle}"), "start", "delete"] {
        let line = format!("{command} cli-hook-place");
        let mut command = cli.command(&line);
        let said = cli.finish(command.current_dir("/").env("OF", "runtime").env_remove("A"));
        assert_eq!((said.status, &*said.err), (0, ""), "{line}");
        if line.starts_with("start") {
            cli.await_end("cli-hook-place");
        }
    }
    let mut expected = String::new();
    for kind in KINDS {
        let (place, of) = match kind {
            "createContainer" => (cli.place.rootfs(), "program"),
            "startContainer" => ("/tmp".to_owned(), "program"),
            _ => (bundle.clone(), "runtime"),
        };
        expected += &format!("{kind} given {place} B\n{kind} none {place} {of}\n");
    }
    assert_eq!(cli.read("rootfs/log"), expected);
}
