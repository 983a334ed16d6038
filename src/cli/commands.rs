//! Every command and every flag.

use super::args::{Flag, Order, Parsed, Takes};
use super::problem::Problem;
use super::session::Session;
use super::{
    PROGRAM, create, events, exec, explain, features, help, kill, look, sandbox, simulate, spec,
    update,
};

/// A command.
pub(super) struct Command {
    /// Its name.
    pub(super) name: &'static str,
    /// What it does, in a line.
    pub(super) about: &'static str,
    /// Its arguments.
    pub(super) usage: &'static str,
    /// What else is to be known.
    pub(super) text: &'static str,
    /// Its flags.
    pub(super) flags: &'static [Flag],
    /// Where those may stand.
    pub(super) order: Order,
    /// How many arguments it takes.
    pub(super) arity: Arity,
    /// Carries it out, and returns the exit status.
    pub(super) run: fn(&Session<'_>, &Parsed) -> Result<u8, Problem>,
}

/// How many arguments a command takes.
#[derive(Clone, Copy, Debug)]
pub(super) enum Arity {
    /// That many or more.
    AtLeast(usize),
    /// From the first to the second number.
    Between(usize, usize),
    /// That many.
    Exactly(usize),
}

impl Arity {
    /// Refuses another number of arguments, in runc's words.
    pub(super) fn check(self, command: &Command, count: usize) -> Result<(), Problem> {
        let (fits, requires) = match self {
            Self::AtLeast(n) => (n <= count, format!("a minimum of {n} argument(s)")),
            Self::Between(n, _) if count < n => (false, format!("a minimum of {n} argument(s)")),
            Self::Between(_, n) => (count <= n, format!("a maximum of {n} argument(s)")),
            Self::Exactly(n) => (count == n, format!("exactly {n} argument(s)")),
        };
        if fits {
            return Ok(());
        }
        let message = format!("{PROGRAM}: {:?} requires {requires}", command.name);
        Err(Problem::new(message).with_usage("Incorrect Usage.", &help::command(command)))
    }
}

/// Commands of runc's that there are not yet.
pub(super) const UNSUPPORTED: &[(&str, &str)] = &[
    ("checkpoint", "write an image of a running container"),
    ("restore", "bring a container back from its image"),
];

const fn switch(name: &'static str, short: &'static str, about: &'static str) -> Flag {
    Flag { name, short, takes: Takes::Switch, about }
}

pub(super) const fn value(name: &'static str, short: &'static str, about: &'static str) -> Flag {
    Flag { name, short, takes: Takes::Value, about }
}

/// The flags before the command.
pub(super) const GLOBAL: &[Flag] = &[
    switch("debug", "", "tell more"),
    value("log", "", "the file that errors are appended to, beside standard error"),
    value("log-format", "", "the form of the log: 'text' (default) or 'json'"),
    value("root", "", "the directory that containers are kept in"),
    value("criu", "", ""),
    switch("systemd-cgroup", "", "have systemd make cgroups (not supported yet)"),
    value("rootless", "", "tolerate that cgroups are denied: 'true', 'false' or 'auto' (default)"),
    value("cgroup-manager", "", "who makes cgroups: 'cgroupfs' (default) or 'disabled': nobody"),
    switch("version", "v", "print the version"),
];

const BUNDLE: Flag = value("bundle", "b", "the bundle's directory (default: the current one)");
const CONSOLE_SOCKET: Flag =
    value("console-socket", "", "an AF_UNIX socket that the terminal's master is sent to");
const PIDFD_SOCKET: Flag =
    value("pidfd-socket", "", "an AF_UNIX socket that the process's descriptor is sent to");
const PID_FILE: Flag = value("pid-file", "", "the file that the process's number is written to");
const NO_PIVOT: Flag = switch("no-pivot", "", "leave the old root without pivot_root(2)");
// There is no session keyring of our own: what the flag asks for always holds.
const NO_NEW_KEYRING: Flag = switch("no-new-keyring", "", "make no session keyring (none is made)");
const PRESERVE_FDS: Flag =
    value("preserve-fds", "", "hand on that many descriptors behind stdio and $LISTEN_FDS");
const DETACH: Flag = switch("detach", "d", "do not wait for the process");
pub(super) const FORMAT: Flag =
    value("format", "f", "the form of the output: 'table' (default) or 'json'");

/// The commands.
pub(super) const COMMANDS: &[Command] = &[
    Command {
        name: "create",
        about: "make a container, whose program then waits for start",
        usage: "<container-id>",
        text: "   The bundle is a directory with a config.json and, usually, a root file system.",
        flags: &[
            BUNDLE,
            CONSOLE_SOCKET,
            PIDFD_SOCKET,
            PID_FILE,
            NO_PIVOT,
            NO_NEW_KEYRING,
            PRESERVE_FDS,
        ],
        order: Order::Anywhere,
        arity: Arity::Exactly(1),
        run: create::create,
    },
    Command {
        name: "delete",
        about: "remove a container that has stopped",
        usage: "<container-id>",
        text: "",
        flags: &[switch("force", "f", "kill it first; none of that name is success")],
        order: Order::Anywhere,
        arity: Arity::Exactly(1),
        run: create::delete,
    },
    Command {
        name: "events",
        about: "show what a container uses until it is removed",
        usage: "<container-id>",
        text: "   An event is a line of JSON: stats, or oom where a process was killed for it.",
        flags: &[
            value("interval", "", "the time between stats (default: 5s)"),
            switch("stats", "", "print stats once"),
        ],
        order: Order::Anywhere,
        arity: Arity::Exactly(1),
        run: events::events,
    },
    Command {
        name: "exec",
        about: "run a further process in a container",
        usage: "<container-id> <command> [arguments...]  || -p process.json <container-id>",
        text: "   The process is like the container's own, but for what the flags say.",
        flags: &[
            CONSOLE_SOCKET,
            PIDFD_SOCKET,
            value("cwd", "", "the working directory"),
            value("env", "e", "a variable of the environment; repeatable"),
            switch("tty", "t", "give it a terminal"),
            value("user", "u", "the user: <uid>[:<gid>]"),
            value("additional-gids", "g", "a further group; repeatable"),
            value("process", "p", "a file that describes the process whole"),
            DETACH,
            PID_FILE,
            value("process-label", "", "a label for SELinux (not supported)"),
            value("apparmor", "", "run under this AppArmor profile"),
            switch("no-new-privs", "", "let no file add to its powers"),
            value("cap", "c", "a further capability; repeatable"),
            PRESERVE_FDS,
            value("cgroup", "", "a sub-cgroup to run in (not supported yet)"),
            switch("ignore-paused", "", "wait in a paused container until it is resumed"),
        ],
        order: Order::First,
        arity: Arity::AtLeast(1),
        run: exec::exec,
    },
    Command {
        name: "explain",
        about: "print what run would do, step by step, and do nothing",
        usage: "[container-id]",
        text: "   Each step stands beside what undoes it, then comes every system call of the\n   \
               program that the first process performs.",
        flags: &[BUNDLE, NO_PIVOT],
        order: Order::Anywhere,
        arity: Arity::Between(0, 1),
        run: explain::explain,
    },
    Command {
        name: "features",
        about: "print what this runtime can do, as JSON",
        usage: "",
        text: "",
        flags: &[],
        order: Order::Anywhere,
        arity: Arity::Exactly(0),
        run: features::features,
    },
    Command {
        name: "kill",
        about: "signal a container's first process",
        usage: "<container-id> [signal]",
        text: "   The signal is a number or a name (default: SIGTERM).",
        flags: &[switch("all", "a", "signal every process; none left is success")],
        order: Order::First,
        arity: Arity::Between(1, 2),
        run: kill::kill,
    },
    Command {
        name: "list",
        about: "list the containers of the state directory",
        usage: "",
        text: "",
        flags: &[FORMAT, switch("quiet", "q", "names only")],
        order: Order::Anywhere,
        arity: Arity::Exactly(0),
        run: look::list,
    },
    Command {
        name: "pause",
        about: "freeze every process of a container",
        usage: "<container-id>",
        text: "",
        flags: &[],
        order: Order::Anywhere,
        arity: Arity::Exactly(1),
        run: create::pause,
    },
    Command {
        name: "ps",
        about: "show the processes of a container",
        usage: "<container-id> [ps options]",
        text: "   The table is that of ps(1), with options -ef unless others are given.",
        flags: &[FORMAT],
        order: Order::First,
        arity: Arity::AtLeast(1),
        run: look::ps,
    },
    Command {
        name: "resume",
        about: "thaw every process of a container",
        usage: "<container-id>",
        text: "",
        flags: &[],
        order: Order::Anywhere,
        arity: Arity::Exactly(1),
        run: create::resume,
    },
    Command {
        name: "run",
        about: "make a container, start it, wait for it, remove it",
        usage: "<container-id>",
        text: "",
        flags: &[
            BUNDLE,
            CONSOLE_SOCKET,
            PIDFD_SOCKET,
            DETACH,
            switch("keep", "", "do not remove the container"),
            PID_FILE,
            switch("no-subreaper", "", "leave orphans of the container to somebody else"),
            NO_PIVOT,
            NO_NEW_KEYRING,
            PRESERVE_FDS,
        ],
        order: Order::Anywhere,
        arity: Arity::Exactly(1),
        run: create::run,
    },
    Command {
        name: "sandbox",
        about: "run a command in a throw-away container over the host's own files",
        usage: "[--] <command> [arguments...]",
        text: "   The host's files are there and can be read; what is written is gone at the end.",
        flags: &[
            value("net", "", "the network: 'none' (default) or 'host'"),
            value("env", "e", "a variable of the environment; repeatable"),
        ],
        order: Order::First,
        arity: Arity::AtLeast(1),
        run: sandbox::sandbox,
    },
    Command {
        name: "simulate",
        about: "walk every interleaving of requests on a kernel in memory",
        usage: "<request> [request] [request]",
        text: simulate::TEXT,
        flags: simulate::FLAGS,
        order: Order::Anywhere,
        arity: Arity::Between(1, 3),
        run: simulate::simulate,
    },
    Command {
        name: "spec",
        about: "write a config.json to start from",
        usage: "",
        text: "",
        flags: &[BUNDLE, switch("rootless", "", "for a user who is not root")],
        order: Order::Anywhere,
        arity: Arity::Exactly(0),
        run: spec::spec,
    },
    Command {
        name: "start",
        about: "let the program of a created container run",
        usage: "<container-id>",
        text: "",
        flags: &[],
        order: Order::Anywhere,
        arity: Arity::Exactly(1),
        run: create::start,
    },
    Command {
        name: "state",
        about: "print where a container is in its life, as JSON",
        usage: "<container-id>",
        text: "",
        flags: &[],
        order: Order::Anywhere,
        arity: Arity::Exactly(1),
        run: look::state,
    },
    Command {
        name: "update",
        about: "change what a container may use",
        usage: "<container-id>",
        text: "   What is not spoken of stays as it is. The file is JSON like linux.resources;\n   \
               devices in it are passed over.",
        flags: update::FLAGS,
        order: Order::Anywhere,
        arity: Arity::Exactly(1),
        run: update::update,
    },
];
