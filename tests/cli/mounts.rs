//! Where mounts land in an image that is not as it should be.

use std::fs;
use std::os::unix::fs::symlink;

use serde_json::{Value, json};

use super::Cli;

/// Adds a bind mount of a path on the host.
fn bind(config: &mut Value, source: &str, target: &str) {
    let mount = json!({
        "destination": target, "type": "bind", "source": source, "options": ["rbind", "ro"],
    });
    config["mounts"].as_array_mut().unwrap().push(mount);
}

#[test]
fn targets_behind_links_that_lead_nowhere_are_made_in_the_root() {
    let script = "cat /etc/resolv.conf /run/resolvconf/resolv.conf /chain /moved/below; \
                  cat /var/run/inside; ls -ld /beside /beside/below | cut -c1-10";
    let cli = Cli::edited(script, |config| {
        config["root"]["readonly"] = json!(false);
        for target in ["/etc/resolv.conf", "/chain", "/moved/below"] {
            bind(config, "file", target);
        }
        bind(config, "directory", "/var/run");
    });
    cli.write("file", "file\n");
    fs::create_dir(cli.path("directory")).unwrap();
    cli.write("directory/inside", "inside\n");
    fs::create_dir(cli.path("rootfs/var")).unwrap();
    for (target, link) in [
        ("../run/resolvconf/resolv.conf", "etc/resolv.conf"),
        ("/held/up", "var/run"),
        ("link", "chain"),
        ("/srv/end", "link"),
        ("../../beside", "moved"),
    ] {
        symlink(target, cli.path(&format!("rootfs/{link}"))).unwrap();
    }
    let said = cli.say("run cli-dangling");
    assert_eq!((said.status, said.err.as_str()), (0, ""));
    insta::assert_snapshot!(said.out, @"
    file
    file
    file
    file
    inside
    drwxr-xr-x
    -rw-r--r--
    ");
    assert_eq!(fs::read(cli.path("rootfs/srv/end")).unwrap(), b"", "made, and mounted on");
    assert!(!fs::exists(cli.path("beside")).unwrap(), "nothing is made beside the root");
}

#[test]
fn a_target_whose_links_lead_in_a_circle_is_refused() {
    let cli = Cli::edited("true", |config| bind(config, "file", "/here"));
    cli.write("file", "");
    symlink("there", cli.path("rootfs/here")).unwrap();
    symlink("here", cli.path("rootfs/there")).unwrap();
    let said = cli.say("run cli-circle");
    let text = "cofferdam run failed: unable to start container process: bind file to /here: too \
                many levels of symbolic links\n";
    assert_eq!((said.status, said.err.as_str()), (1, text));
    assert_eq!(cli.done("list -q"), "");
}
