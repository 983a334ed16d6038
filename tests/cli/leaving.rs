//! Nothing that a container does to its root, or has on its way to it, is the host's.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::json;

use super::Cli;
use super::common::cgroups_named;

/// Runs the bundle in a mount namespace whose mounts are all shared, and prints the mounts that
/// were there before and after if they differ.
const WITHIN: &str = r#"
bundle=$1
if [ "$2" = apart ]; then
    mkdir -p "$1.apart" && mount -t tmpfs apart "$1.apart" && cp -a "$1" "$1.apart/box"
    bundle=$1.apart/box
fi
mount --make-rshared /
points() { cut -d' ' -f5 /proc/self/mountinfo; }
before=$(points)
flag=$3
shift 3
"$@" run $flag --bundle "$bundle" cli-leaving >/dev/null 2>&1
status=$?
[ "$before" = "$(points)" ] || { echo "the mounts have changed"; points; }
exit $status
"#;

fn leave(cli: &Cli, apart: &str, flag: &str) -> (i32, String) {
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "private", "sh", "-c", WITHIN, "sh"]);
    command.args([&cli.place.bundle(), apart, flag, env!("CARGO_BIN_EXE_cofferdam")]);
    let said = command.args(["--root", &cli.place.state()]).output().unwrap();
    (said.status.code().unwrap(), String::from_utf8(said.stdout).unwrap())
}

#[test]
fn the_host_keeps_its_mounts_whatever_becomes_of_the_root() {
    for propagation in ["", "private", "slave", "shared", "rprivate", "rslave", "rshared"] {
        let cli = Cli::edited("true", |config| {
            config["linux"]["rootfsPropagation"] = json!(propagation);
        });
        for apart in ["", "apart"] {
            for flag in ["", "--no-pivot"] {
                let refused = propagation.ends_with("private") && !flag.is_empty();
                let expected = (i32::from(refused), String::new());
                assert_eq!(leave(&cli, apart, flag), expected, "{propagation} {apart} {flag}");
            }
        }
    }
}

fn await_file(path: &str) {
    let begin = Instant::now();
    while !Path::new(path).exists() {
        assert!(begin.elapsed() < Duration::from_secs(20), "{path} does not come");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A container whose createContainer hook says that it runs, and waits to be told to end.
fn held_up() -> Cli {
    let cli = Cli::new("exec sleep 100");
    let (here, go) = (cli.path("here"), cli.path("go"));
    let script = format!("touch {here}; while [ ! -e {go} ]; do sleep 0.01; done");
    let mut config: serde_json::Value = serde_json::from_str(&cli.read("config.json")).unwrap();
    config["hooks"]["createContainer"] =
        json!([{ "path": "/bin/sh", "args": ["sh", "-c", script], "env": ["PATH=/bin:/usr/bin"] }]);
    cli.write("config.json", &config.to_string());
    cli
}

/// Until the root is left it is the host's, and whoever joined then would have that for good.
#[test]
fn nobody_joins_a_container_that_is_not_its_program_yet() {
    let cli = held_up();
    let mut maker = cli.command("run -d cli-nascent").spawn().unwrap();
    await_file(&cli.path("here"));
    let refused = |what: &str| {
        assert_eq!(cli.state("cli-nascent")["status"], "creating", "{what}");
        let said = cli.say("exec cli-nascent ls");
        assert_eq!(said.status, 255, "{what}");
        assert_eq!(said.err, "exec failed: container is still being created\n", "{what}");
    };
    refused("its maker waits");
    cli.write("go", "");
    assert!(maker.wait().unwrap().success());
    assert_eq!(cli.state("cli-nascent")["status"], "running");
    assert_eq!(cli.done("exec cli-nascent echo in"), "in\n");
    cli.done("delete --force cli-nascent");
    for name in ["here", "go"] {
        fs::remove_file(cli.path(name)).unwrap();
    }
    let mut maker = cli.command("run -d cli-nascent").spawn().unwrap();
    await_file(&cli.path("here"));
    maker.kill().unwrap();
    maker.wait().unwrap();
    refused("its maker is dead");
    cli.done("kill cli-nascent KILL");
    cli.await_end("cli-nascent");
    assert_eq!(cli.state("cli-nascent")["status"], "stopped");
    cli.done("delete cli-nascent");
    cli.write("go", "");
}

/// Such a hook is in the container's cgroup before its init is recorded.
#[test]
fn a_hook_whose_maker_has_died_is_removed_with_the_container() {
    let cli = held_up();
    let mut maker = cli.command("create cli-hooked").spawn().unwrap();
    await_file(&cli.path("here"));
    maker.kill().unwrap();
    maker.wait().unwrap();
    assert_ne!(cgroups_named("cli-hooked"), [""; 0], "the hook is in it");
    assert_eq!(cli.done("delete --force cli-hooked"), "");
    assert_eq!(cgroups_named("cli-hooked"), [""; 0]);
}

/// The state directory may be on a disk, and a cgroup of the same name somebody else's by then.
#[test]
fn nobody_is_killed_in_a_cgroup_of_another_boot() {
    let cli = Cli::new("exec sleep 100");
    cli.done("run -d cli-boot");
    cli.done("kill cli-boot KILL");
    cli.await_end("cli-boot");
    let path = format!("{}/cli-boot/record.json", cli.place.state());
    let record = fs::read_to_string(&path).unwrap();
    let mut parts = record.split(r#""boot":"#);
    let mut elsewhere = parts.next().unwrap().to_owned();
    for part in parts {
        elsewhere += r#""boot":1"#;
        elsewhere += part.trim_start_matches(|letter: char| letter.is_ascii_digit());
    }
    assert_ne!(elsewhere, record);
    fs::write(&path, elsewhere).unwrap();
    let mut stranger = Command::new("sleep").arg("100").spawn().unwrap();
    let theirs = cgroups_named("cli-boot");
    for dir in &theirs {
        fs::write(format!("{dir}/cgroup.procs"), stranger.id().to_string()).unwrap();
    }
    assert_eq!(cli.state("cli-boot")["status"], "stopped");
    cli.done("delete --force cli-boot");
    assert_eq!(cli.done("list -q"), "");
    assert_eq!(stranger.try_wait().unwrap(), None, "the stranger lives");
    stranger.kill().unwrap();
    stranger.wait().unwrap();
    for dir in theirs {
        // Who has ended may linger there for a moment.
        let begin = Instant::now();
        while let Err(error) = fs::remove_dir(&dir) {
            assert!(begin.elapsed() < Duration::from_secs(20), "{dir}: {error}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// A container that may make nodes.
fn maker(script: &str, edit: impl FnOnce(&mut serde_json::Value)) -> Cli {
    Cli::edited(script, |config| {
        config["root"]["readonly"] = json!(false);
        for set in ["bounding", "effective", "permitted"] {
            config["process"]["capabilities"][set] = json!(["CAP_MKNOD", "CAP_CHOWN"]);
        }
        edit(config);
    })
}

#[test]
fn the_host_s_console_is_not_a_container_s_and_tunnels_are() {
    let open = |number: &str| {
        let script = format!("mknod /node c {number} && (: <>/node) 2>&1; true");
        maker(&script, |_| ()).done("run cli-node")
    };
    let console = open("5 1");
    assert!(console.contains("not permitted"), "{console}");
    // The host need not have the driver.
    let tunnel = open("10 200");
    assert!(!tunnel.contains("not permitted"), "{tunnel}");
}

#[test]
fn what_is_at_the_path_of_a_device_stays_what_it_is() {
    let device = |path: &str, owner: u32| {
        let mut device = json!({ "path": path, "type": "c", "major": 1, "minor": 3 });
        (device["uid"], device["gid"]) = (owner.into(), owner.into());
        device
    };
    let script = "stat -c '%u %F' /etc/there /dev/own; readlink /dev/ptmx; : <>/dev/ptmx";
    let cli = maker(script, |config| {
        let listed = [("/etc/there", 7), ("/dev/own", 7), ("/dev/ptmx", 0)];
        config["linux"]["devices"] = listed.map(|(path, owner)| device(path, owner)).into();
    });
    cli.write("rootfs/etc/there", "kept");
    let expected = "0 regular file\n7 character special file\npts/ptmx\n";
    assert_eq!(cli.done("run cli-device"), expected);
}

#[test]
fn a_mount_through_a_link_into_dev_is_no_obstacle_to_another() {
    let cli = Cli::edited("ls /dev/shm/x", |config| {
        let mounts = config["mounts"].as_array_mut().unwrap();
        let at = mounts.iter().position(|mount| mount["destination"] == "/dev").unwrap();
        let bind =
            json!({ "destination": "/x", "type": "bind", "source": "dir", "options": ["bind"] });
        mounts.insert(at + 1, bind);
        config["process"]["args"] = json!(["sh", "-c", "ls -d /dev/shm /dev/pts"]);
    });
    fs::create_dir(cli.path("dir")).unwrap();
    std::os::unix::fs::symlink("/dev/shm/x", cli.path("rootfs/x")).unwrap();
    assert_eq!(cli.done("run cli-shm"), "/dev/pts\n/dev/shm\n");
}
