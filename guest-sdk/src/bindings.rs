//! Bindings generated from `wit/weft.wit`. The rest of the crate wraps them; nothing else is unsafe.
#![allow(
    unsafe_code,
    missing_docs,
    unreachable_pub,
    unused_qualifications,
    clippy::allow_attributes_without_reason,
    reason = "generated code"
)]

wit_bindgen::generate!({
    path: "wit",
    world: "telemetry-module",
    pub_export_macro: true,
    export_macro_name: "export_bindings",
    default_bindings_module: "weft_guest::bindings",
    runtime_path: "::weft_guest::wit_bindgen::rt",
    generate_all,
});

#[cfg(not(all(feature = "testing", not(target_arch = "wasm32"))))]
impl weft::telemetry::batches::Batch {
    /// A second value with the number of a borrowed handle. The caller must not drop it: the handle
    /// belongs to the host.
    pub(crate) fn lend(&self) -> Self {
        // SAFETY: the number is that of a live handle, and the value is never dropped.
        unsafe { Self::from_handle(self.handle()) }
    }
}
