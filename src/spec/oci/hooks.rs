//! The `hooks` object.

use super::node::{Fault, Node, Notes};
use crate::spec::{Hook, Hooks, Oddity};

/// Reads the hooks.
pub(super) fn hooks<'d>(notes: &mut Notes<'d>, node: &'d Node<'d>) -> Result<Hooks, Fault<'d>> {
    let mut hooks = Hooks::default();
    for (key, value) in node.fields()? {
        let list = match key {
            "prestart" => &mut hooks.prestart,
            "createRuntime" => &mut hooks.create_runtime,
            "createContainer" => &mut hooks.create_container,
            "startContainer" => &mut hooks.start_container,
            "poststart" => &mut hooks.poststart,
            "poststop" => &mut hooks.poststop,
            _ => {
                notes.add(value, Oddity::Unknown);
                continue;
            }
        };
        *list = value.list(|item| hook(notes, item))?;
    }
    Ok(hooks)
}

fn hook<'d>(notes: &mut Notes<'d>, node: &'d Node<'d>) -> Result<Hook, Fault<'d>> {
    let (mut path, mut args, mut env, mut timeout_secs) = (None, Vec::new(), None, None);
    for (key, value) in node.fields()? {
        match key {
            "path" => path = Some(value.absolute()?),
            "args" => args = value.list(Node::string)?,
            "env" => env = Some(value.list(Node::string)?),
            "timeout" => timeout_secs = Some(value.integer(1..=u32::MAX)?),
            _ => notes.add(value, Oddity::Unknown),
        }
    }
    let path = path.ok_or_else(|| node.lacks("path"))?;
    if args.is_empty() {
        args.push(path.clone());
    }
    Ok(Hook { path, args, env, timeout_secs })
}
