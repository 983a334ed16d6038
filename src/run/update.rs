//! The request update: other limits for a container that lives.
//!
//! **Invariant:** what limits there are is asked of the kernel, so the record keeps none.

use crate::spec::Resources;
use crate::state::Request;
use crate::sys::Kernel;

use super::cgroup;
use super::container::Container;
use super::error::{Error, Failure};
use super::operation::{Operation, Task, without};

impl<K: Kernel> Container<'_, K> {
    /// Changes what it may use.
    ///
    /// What [`Resources`] do not speak of stays as it is, and so do devices, whatever they say of
    /// them. On cgroup v2, which counts swap alone, a new limit of memory keeps that of memory and
    /// swap together.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] for limits that this host cannot have; [`Error::Failed`], with the file
    /// and the value, for one that the kernel refuses. Those before it are in force then.
    ///
    /// # Example
    ///
    #[cfg_attr(feature = "fake", doc = "```")]
    #[cfg_attr(not(feature = "fake"), doc = "```ignore")]
    /// use std::cell::RefCell;
    ///
    /// use cofferdam::backend::fake::{Payload, Profile, World};
    /// use cofferdam::spec::{Limit, Resources, Spec};
    /// use cofferdam::{Create, Runtime};
    ///
    /// let mut world = World::new(Profile::default());
    /// for directory in ["dev", "proc", "sys"] {
    ///     world.mkdir(&format!("/bundle/rootfs/{directory}"));
    /// }
    /// world.payload("/bundle/rootfs/bin/serve", Payload::sleep());
    /// let client = world.client();
    /// let world = RefCell::new(world);
    /// let runtime = Runtime::new(World::process(&world, client), "/run/example")?;
    /// let spec = Spec::usual("/bundle/rootfs", ["/bin/serve"]);
    /// let create = Create { bundle: "/bundle".into(), spec, ..Create::default() };
    /// let container = runtime.create("web", &create)?;
    /// container.start()?;
    ///
    /// let mut resources = Resources { pids: Some(Limit::Value(64)), ..Resources::default() };
    /// resources.memory.limit = Some(Limit::Value(256 << 20));
    /// container.update(&resources)?;
    /// # container.force_delete()?;
    /// # Ok::<(), cofferdam::Error>(())
    /// ```
    pub fn update(&self, resources: &Resources) -> Result<(), Error> {
        cgroup::check(self.runtime.host()?, resources)?;
        self.change(Request::Update, Task::Limit(resources)).map(drop)
    }
}

/// Writes the limits.
pub(super) fn limit<K: Kernel>(op: &mut Operation<'_, '_, K>) -> Result<(), Failure> {
    let Task::Limit(resources) = op.task else { return Err(without("limits")) };
    cgroup::update(op.kernel, op.runtime.host()?, &op.record.manifest.cgroups, resources)
}
