//! The profile that a container's processes are under.

use serde_json::json;

use super::{Cli, Said};

/// A profile; it is loaded where the environment says so (`tests/vm/profiled`).
const PROFILE: &str = "cofferdam-test";

/// What a program says of the label that it has, and of what only that profile forbids.
const TELL: &str = "cat /proc/self/attr/apparmor/current; cat /etc/hostname";

fn is_loaded() -> bool {
    std::env::var("COFFERDAM_PROFILE").is_ok_and(|name| name == PROFILE)
}

/// A container under the profile; in a user namespace too, where `mapped` says so.
fn confined(script: &str, mapped: bool) -> Cli {
    let cli = Cli::edited(script, |config| {
        config["process"]["apparmorProfile"] = json!(PROFILE);
        if mapped {
            let linux = &mut config["linux"];
            linux["namespaces"].as_array_mut().unwrap().push(json!({ "type": "user" }));
            let map = json!([{ "containerID": 0, "hostID": 0, "size": 65536 }]);
            (linux["uidMappings"], linux["gidMappings"]) = (map.clone(), map);
        }
    });
    cli.write("rootfs/etc/hostname", "box\n");
    cli
}

fn holds(said: &Said) {
    assert_eq!(said.out, format!("{PROFILE} (enforce)\n"), "{said:?}");
    assert!(said.status == 1 && said.err.contains("Permission denied"), "{said:?}");
}

fn is_refused(said: &Said) {
    let begin = format!("unable to apply apparmor profile {PROFILE}: ");
    assert!(said.err.contains(&begin), "{said:?}");
    let why = ["it is not loaded: ", "AppArmor is not in use: "];
    assert!(why.iter().any(|why| said.err.contains(why)), "{said:?}");
}

#[test]
fn a_profile_holds_from_the_first_program_on_or_nothing_runs() {
    for mapped in [false, true] {
        let cli = confined(TELL, mapped);
        let said = cli.say("run cli-label");
        if is_loaded() {
            holds(&said);
        } else {
            assert_eq!((said.status, said.out.as_str()), (1, ""));
            is_refused(&said);
            assert_eq!(cli.done("list -q"), "");
        }
    }
}

#[test]
fn a_profile_holds_for_further_processes() {
    let cli =
        if is_loaded() { confined("exec sleep 100", false) } else { Cli::new("exec sleep 100") };
    cli.write("rootfs/etc/hostname", "box\n");
    cli.done("run -d cli-labels");
    let say =
        |flags: &str| cli.finish(cli.command(&format!("exec {flags} cli-labels sh -c")).arg(TELL));
    let named = say(&format!("--apparmor {PROFILE}"));
    if is_loaded() {
        holds(&named);
        // Without a word it is the container's own.
        holds(&say(""));
        let free = say("--apparmor unconfined");
        assert_eq!((free.status, free.out.as_str()), (0, "unconfined\nbox\n"));
    } else {
        assert_eq!(named.status, 255);
        is_refused(&named);
        let free = say("--apparmor unconfined");
        assert!(free.status == 0 && free.out.ends_with("box\n"), "{free:?}");
    }
}
