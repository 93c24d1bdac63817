//! The generated code of the contract, and nothing else. The column records are our own
//! ([`crate::host::columns`]): they lend Arrow buffers to the guest where generated ones would copy.
#![allow(missing_docs, unreachable_pub, unused_qualifications, clippy::all, reason = "generated code")]

wasmtime::component::bindgen!({
    path: "../../guest-sdk/wit",
    world: "telemetry-module",
    with: {
        "weft:telemetry/types": crate::host::columns,
        "weft:telemetry/batches.batch": crate::host::batch::Batch,
    },
    imports: { default: trappable },
});
