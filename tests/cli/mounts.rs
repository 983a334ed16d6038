//! Where mounts land in an image that is not as it should be.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use serde_json::{Value, json};

use super::Cli;

/// Adds a bind mount of a path on the host.
fn bind(config: &mut Value, source: &str, target: &str) {
    let mount = json!({
        "destination": target, "type": "bind", "source": source, "options": ["rbind", "ro"],
    });
    config["mounts"].as_array_mut().unwrap().push(mount);
}

/// The kernel's own files of a container are covered by what its user names, not by its image.
#[test]
fn no_link_of_the_image_leads_a_mount_into_proc() {
    for (target, link) in [("/proc/sys", "lnk"), ("../proc", "tmp/lnk"), ("/dev/../proc/1", "lnk")]
    {
        let at = format!("/{link}");
        let cli = Cli::edited("true", |config| bind(config, "directory", &at));
        fs::create_dir(cli.path("directory")).unwrap();
        symlink(target, cli.path(&format!("rootfs{at}"))).unwrap();
        let said = cli.say("run cli-into-proc");
        let text =
            format!("bind directory to {at}: cannot be mounted because it is inside /proc\n");
        assert!(said.status == 1 && said.err.ends_with(&text), "{said:?}");
        assert_eq!(cli.done("list -q"), "");
    }
    // Where somebody begins to work is another matter.
    let cli = Cli::edited("pwd", |config| config["process"]["cwd"] = json!("/lnk"));
    symlink("/proc/sys", cli.path("rootfs/lnk")).unwrap();
    assert_eq!(cli.done("run cli-into-proc"), "/proc/sys\n");
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

/// A container with a tmpfs on a path, begun with what the image has there.
fn filled(script: &str, options: &[&str]) -> Cli {
    let options: Vec<_> = ["tmpcopyup", "nosuid"].iter().chain(options).collect();
    let cli = Cli::edited(script, |config| {
        let mount = json!({
            "destination": "/data", "type": "tmpfs", "source": "tmpfs", "options": options,
        });
        config["mounts"].as_array_mut().unwrap().push(mount);
    });
    fs::create_dir_all(cli.path("rootfs/data/below")).unwrap();
    fs::set_permissions(cli.path("rootfs/data"), fs::Permissions::from_mode(0o751)).unwrap();
    cli.write("rootfs/data/below/file", "of the image\n");
    std::os::unix::fs::chown(cli.path("rootfs/data/below/file"), Some(7), Some(8)).unwrap();
    symlink("/etc/passwd", cli.path("rootfs/data/link")).unwrap();
    cli
}

#[test]
fn a_tmpfs_is_filled_with_what_the_image_has_there() {
    let script = "stat -c '%n %A %u:%g' /data /data/below/file; ls -l /data/link | cut -d/ -f3-; \
                  cat /data/below/file; echo new >/data/below/new; \
                  grep -c ' /data rw,nosuid.* tmpfs ' /proc/self/mountinfo";
    let cli = filled(script, &["rprivate"]);
    assert_eq!(
        cli.done("run cli-filled"),
        "/data drwxr-x--x 0:0\n/data/below/file -rw-r--r-- 7:8\nlink -> /etc/passwd\n\
         of the image\n1\n"
    );
    assert!(!fs::exists(cli.path("rootfs/data/below/new")).unwrap(), "it was written to memory");
    let cli = filled("stat -c %a /data; touch /data/x", &["mode=1700", "ro"]);
    let said = cli.say("run cli-filled-read-only");
    assert_eq!((said.status, &*said.out), (1, "1700\n"));
    assert!(said.err.contains("Read-only file system"), "{}", said.err);
    let cli = filled("stat -c %a /data; ls -A /data", &[]);
    fs::remove_dir_all(cli.path("rootfs/data")).unwrap();
    assert_eq!(cli.done("run cli-filled-with-nothing"), "1777\n");
}

#[test]
fn a_tmpfs_that_cannot_hold_the_copy_is_told() {
    let cli = filled("true", &["size=64k"]);
    cli.write("rootfs/data/large", &"x".repeat(1 << 20));
    let said = cli.say("run cli-overfull");
    let text = "cofferdam run failed: unable to start container process: fill tmpfs on /data: no \
                space left on device\n";
    assert_eq!((said.status, said.err.as_str()), (1, text));
}

#[test]
fn a_mount_in_what_is_copied_is_left_out() {
    let cli = filled("ls -A /data/below", &[]);
    let mut config: Value = serde_json::from_str(&cli.read("config.json")).unwrap();
    bind(&mut config, ".", "/data/below");
    let mounts = config["mounts"].as_array_mut().unwrap();
    let last = mounts.len() - 1;
    mounts.swap(last - 1, last);
    cli.write("config.json", &config.to_string());
    assert_eq!(cli.done("run cli-covered"), "");
}

#[test]
fn a_tmpfs_has_the_mode_it_is_told_or_that_of_what_it_covers() {
    let script = "stat -c '%n %a' /plain /told /behind/. /made /over /over/below";
    let cli = Cli::edited(script, |config| {
        for (target, options) in [
            ("/plain", json!([])),
            ("/told", json!(["nosuid", "mode=0711"])),
            ("/behind", json!(["size=64k"])),
            ("/made", json!([])),
            ("/over", json!(["mode=0755"])),
            ("/over/below", json!([])),
        ] {
            let mount = json!({ "destination": target, "type": "tmpfs", "options": options });
            config["mounts"].as_array_mut().unwrap().push(mount);
        }
        config["root"]["readonly"] = json!(false);
    });
    for (name, mode) in [
        ("plain", 0o1750),
        ("told", 0o700),
        ("target", 0o705),
        ("over", 0o700),
        ("over/below", 0o700),
    ] {
        let path = cli.path(&format!("rootfs/{name}"));
        fs::create_dir(&path).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }
    symlink("/target", cli.path("rootfs/behind")).unwrap();
    let modes = "/plain 1750\n/told 711\n/behind/. 705\n/made 1777\n/over 755\n/over/below 1777\n";
    assert_eq!(cli.done("run cli-modes"), modes);
}
