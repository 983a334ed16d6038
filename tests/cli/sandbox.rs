//! The host's own files, in a container that is thrown away.

use std::fs;

use super::Cli;

#[test]
fn a_sandbox_shows_the_host_s_files_and_writes_none_of_them() {
    let cli = Cli::new("");
    let kept = cli.write("kept", "kept\n");
    let script = format!("cat {kept}; echo new >{kept}; cat {kept}; rm -r /etc; hostname; exit 3");
    let mut command = cli.command("sandbox -- sh -c");
    let said = cli.finish(command.arg(script));
    assert_eq!((said.status, said.err.as_str()), (3, ""));
    assert_eq!(said.out, "kept\nnew\nsandbox\n");
    assert_eq!(cli.read("kept"), "kept\n");
    assert!(fs::exists("/etc/passwd").unwrap());
    assert_eq!(cli.done("list -q"), "");
    assert_eq!(fs::read_dir(cli.place.state()).unwrap().count(), 0, "nothing is left");
}

#[test]
fn a_sandbox_is_alone_with_the_caller_s_directory_and_variables() {
    let cli = Cli::new("");
    let mut command = cli.command("sandbox -e A=b sh -c");
    let script = "pwd; echo $A $HOME; echo $$; ls /run | wc -l; ls /sys/class/net";
    let said = cli.finish(command.arg(script).env("HOME", "/here"));
    let expected = format!("{}\nb /here\n1\n0\nlo\n", cli.place.bundle());
    assert_eq!((said.status, said.out, said.err.as_str()), (0, expected, ""));
}

#[test]
fn a_sandbox_has_the_host_s_network_where_that_is_asked_for() {
    let cli = Cli::new("");
    let host = fs::read_link("/proc/self/ns/net").unwrap();
    let own = cli.done("sandbox --net host readlink /proc/self/ns/net");
    assert_eq!(own.trim_end(), host.to_str().unwrap());
    let none = cli.done("sandbox readlink /proc/self/ns/net");
    assert_ne!(none, own);
    assert_eq!(cli.say("sandbox --net bridge true").err, "invalid value for --net: bridge\n");
}

#[test]
fn a_command_that_is_not_there_has_the_status_that_shells_give() {
    let cli = Cli::new("");
    assert_eq!(cli.say("sandbox nosuch").status, 127);
    assert_eq!(cli.say("sandbox /no/such").status, 127);
    assert_eq!(cli.say("sandbox /etc/passwd").status, 126);
}
