//! What the command prints before it touches anything.

use std::fs;

use serde_json::Value;

use super::Cli;

/// Splits what was said: status, output, errors.
fn said(line: &str) -> String {
    let cli = Cli::new("true");
    let said = cli.say(line);
    format!("{}\n{}---\n{}", said.status, said.out, said.err)
}

#[test]
fn the_help_lists_every_command() {
    insta::assert_snapshot!(said("--help"));
    assert_eq!(said("help"), said("-h"));
    assert_eq!(said(""), said("--help"));
}

#[test]
fn every_command_explains_itself() {
    let names = "create delete exec explain features kill list pause ps resume run sandbox \
                 simulate spec start state update";
    let all: Vec<_> = names.split(' ').map(|name| said(&format!("{name} --help"))).collect();
    insta::assert_snapshot!(all.join("\n"));
    assert_eq!(said("help create"), said("create -h"));
}

#[test]
fn what_is_not_there_yet_says_so() {
    insta::assert_snapshot!(said("checkpoint --help"), @"
    0
    NAME:
       cofferdam checkpoint - write an image of a running container

    DESCRIPTION:
       Not supported yet.
    ---
    ");
    insta::assert_snapshot!(said("checkpoint --image-path d --work-path d x"), @"
    1
    ---
    checkpoint is not supported yet
    ");
    assert!(said("restore --lsm-mount-context").starts_with("1\n---\nrestore is not supported"));
}

#[test]
fn wrong_usage_is_told_in_the_words_of_go() {
    for line in ["foo", "help foo", "foo --help"] {
        assert_eq!(said(line), "3\n---\nNo help topic for 'foo'\n", "{line}");
    }
    assert_eq!(said("help help"), said("help"));
    assert!(said("create -x c1").starts_with("1\nIncorrect Usage: flag provided but not defined"));
    insta::assert_snapshot!(said("start"), @r#"
    1
    Incorrect Usage.

    NAME:
       cofferdam start - let the program of a created container run

    USAGE:
       cofferdam start <container-id>

    OPTIONS:
       --help, -h  show help
    ---
    cofferdam: "start" requires exactly 1 argument(s)
    "#);
    let last = |line: &str| said(line).lines().last().unwrap_or_default().to_owned();
    assert_eq!(last("create -x c1"), "flag provided but not defined: -x");
    assert_eq!(last("create --bundle"), "flag needs an argument: -bundle");
    assert_eq!(last("--frob list"), "flag provided but not defined: -frob");
    assert_eq!(last("--log-format xml list"), "invalid log-format: xml");
    assert_eq!(last("--root=/ list"), "the state directory must not be /");
    assert_eq!(last("ps --format yaml c1"), "invalid format option");
    assert_eq!(last("kill c1 FOO"), "unknown signal \"FOO\"");
    assert_eq!(last("kill"), "cofferdam: \"kill\" requires a minimum of 1 argument(s)");
    assert_eq!(last("kill c1 TERM x"), "cofferdam: \"kill\" requires a maximum of 2 argument(s)");
}

#[test]
fn the_version_is_what_dockerd_and_podman_read() {
    let text = said("--version");
    let (first, rest) = text.split_once('\n').unwrap();
    assert_eq!(first, "0");
    let heads: Vec<_> = rest.lines().filter_map(|line| line.split(' ').next()).collect();
    let expected = ["cofferdam", "commit:", "spec:", "libseccomp:", "---"];
    assert_eq!(heads, expected, "{text}");
    assert!(rest.starts_with("cofferdam version "));
    assert_eq!(said("-v"), text);
}

#[test]
fn a_container_that_is_not_there_is_an_error_to_everything_but_force() {
    for line in
        ["state x", "start x", "kill x", "kill -a x 9", "delete x", "ps x", "pause x", "update x"]
    {
        assert_eq!(said(line), "1\n---\ncontainer does not exist\n", "{line}");
    }
    assert_eq!(said("exec x ls"), "255\n---\nexec failed: container does not exist\n");
    assert_eq!(said("delete --force x"), "0\n---\n");
    assert_eq!(said("state ../x"), "1\n---\ninvalid container ID format: \"../x\"\n");
}

#[test]
fn a_state_directory_that_was_named_must_be_there_to_be_listed() {
    let cli = Cli::new("true");
    let said = cli.say("list");
    assert_eq!(said.status, 1);
    assert!(said.err.ends_with("no such file or directory\n"), "{}", said.err);
    fs::create_dir(cli.place.state()).unwrap();
    let head = "ID          PID         STATUS      BUNDLE      CREATED     OWNER\n";
    assert_eq!(cli.done("list"), head);
    assert_eq!(cli.done("list -f json"), "[]\n");
    assert_eq!(cli.done("list -q"), "");
}

#[test]
fn the_features_are_the_words_that_are_read() {
    let cli = Cli::new("true");
    let features: Value = serde_json::from_str(&cli.done("features")).unwrap();
    assert_eq!(features["ociVersionMax"], "1.3.0");
    assert_eq!(features["hooks"].as_array().map(Vec::len), Some(6));
    assert_eq!(features["linux"]["seccomp"]["enabled"], true);
    let last: usize =
        fs::read_to_string("/proc/sys/kernel/cap_last_cap").unwrap().trim().parse().unwrap();
    let capabilities = features["linux"]["capabilities"].as_array().unwrap();
    assert!(capabilities.contains(&"CAP_CHOWN".into()));
    assert_eq!(capabilities.len(), 41.min(last + 1));
    let options = features["mountOptions"].as_array().unwrap();
    assert!(options.contains(&"rro".into()) && !options.contains(&"idmap".into()));
}

#[test]
fn a_spec_is_written_once_and_can_be_run() {
    let cli = Cli::new("true");
    fs::remove_file(cli.path("config.json")).unwrap();
    assert_eq!(cli.done("spec"), "");
    let said = cli.say("spec");
    assert_eq!(said.status, 1);
    assert!(said.err.starts_with("File config.json exists. Remove it first"), "{}", said.err);
    let read = cofferdam::spec::oci::read(cli.read("config.json").as_bytes()).unwrap();
    assert_eq!(read.warnings, []);
    fs::create_dir(cli.path("other")).unwrap();
    cli.done("spec --rootless --bundle other");
    assert!(cli.read("other/config.json").contains("uidMappings"));
}

#[test]
fn explain_prints_steps_undo_and_program_and_touches_nothing() {
    let cli = Cli::new("true");
    let text = cli.done("explain");
    assert!(text.starts_with("run:\n  Manifest        undo: PoststopHooks, RemoveRecord\n"));
    let program = text.split_once("the first process").unwrap().1;
    assert!(program.contains("pivot_root") && program.contains("execve"), "{program}");
    assert!(!fs::exists(cli.place.state()).unwrap());
}
