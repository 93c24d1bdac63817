//! A topology with its modules: compiled, checked against their stages, ready to be instantiated
//! for any partition.

use crate::Error;
use crate::transform::Code;
use std::collections::HashMap;
use std::path::Path;
use weft_codec::{Codec, NameStrategy};
use weft_model::{Signal, TopicPartition};
use weft_topology::{Pipeline, Source, Stage, Topology};
use weft_wasm::Engine;

/// A topology that can run. Shared by all partitions.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) topology: Topology,
    /// Modules of each pipeline's stages, as `topology.pipelines`.
    pub(crate) modules: Vec<Vec<Code>>,
    pub(crate) codec: weft_codec::Config,
}

impl Loaded {
    /// Compiles every module once and tries every stage's configuration.
    ///
    /// # Errors
    /// Everything that is wrong with any stage, at once.
    pub(crate) fn load(topology: Topology, engine: &Engine, folder: &Path) -> Result<Self, Error> {
        Self::with(topology, |name| engine.load(&folder.join(format!("{name}.wasm"))).map(Code::Wasm))
    }

    /// The same with modules from anywhere.
    pub(crate) fn with(
        topology: Topology,
        mut load: impl FnMut(&str) -> Result<Code, weft_wasm::Error>,
    ) -> Result<Self, Error> {
        let mut problems = Vec::new();
        let mut codes: HashMap<&str, Code> = HashMap::new();
        for name in topology.modules() {
            match load(name) {
                Ok(code) => drop(codes.insert(name, code)),
                Err(error) => problems.push(format!("module '{name}': {error}")),
            }
        }
        for (pipeline, stage) in topology.stages() {
            if let Some(code) = codes.get(stage.module.as_str()) {
                problems.extend(check(pipeline, stage, code).map(|problem| format!("stage {}: {problem}", stage.id)));
            }
        }
        if !problems.is_empty() {
            return Err(Error::Topology { topology: topology.name, problems });
        }
        let of = |stage: &Stage| codes.get(stage.module.as_str()).cloned();
        let modules =
            topology.pipelines.iter().map(|pipeline| pipeline.stages.iter().filter_map(of).collect()).collect();
        let codec = codec_config(&topology)?;
        Ok(Self { topology, modules, codec })
    }

    /// The codec of a source.
    pub(crate) fn codec_of(source: &Source) -> Result<Codec, Error> {
        source.codec.parse().map_err(Error::Bug)
    }

    /// For the metadata of data files: each stage with its module's digest.
    pub(crate) fn file_metadata(&self) -> Vec<(String, String)> {
        let stages = self.topology.pipelines.iter().zip(&self.modules);
        let stages = stages.flat_map(|(pipeline, modules)| pipeline.stages.iter().zip(modules));
        stages
            .map(|(stage, module)| {
                let description = module.description();
                let value = format!("{} {} sha256:{}", description.name, description.version, module.digest());
                (format!("weft.module.{}", stage.id), value)
            })
            .collect()
    }
}

/// What is wrong with a stage's module or configuration.
fn check<'a>(pipeline: &'a Pipeline, stage: &'a Stage, module: &'a Code) -> impl Iterator<Item = String> + use<'a> {
    let takes = module.description().accepts.contains(&pipeline.signal);
    let signal = (!takes).then(|| {
        let accepts: Vec<_> = module.description().accepts.iter().map(|signal| signal.name()).collect();
        format!("module '{}' doesn't take {}, only {}", stage.module, pipeline.signal, accepts.join(", "))
    });
    let raw = module.description().emits.contains(&Signal::Raw) && !stage.emits.contains_key(&Signal::Raw);
    let raw = raw.then(|| {
        format!("module '{}' emits raw rows, which have no table: name a raw pipeline under 'emits'", stage.module)
    });
    let trial = module.instantiate(&stage.config, &TopicPartition::new("weft-check", 0)).err();
    signal.into_iter().chain(raw).chain(trial.map(|error| error.to_string()))
}

/// The topology's decode options as the codec takes them.
fn codec_config(topology: &Topology) -> Result<weft_codec::Config, Error> {
    let mut config = weft_codec::Config::default();
    config.metrics.translation_strategy = match topology.decode.metric_names {
        "underscore_escaping_with_suffixes" => NameStrategy::UnderscoreEscapingWithSuffixes,
        "underscore_escaping_without_suffixes" => NameStrategy::UnderscoreEscapingWithoutSuffixes,
        "no_utf8_escaping_with_suffixes" => NameStrategy::NoUTF8EscapingWithSuffixes,
        "no_translation" => NameStrategy::NoTranslation,
        other => return Err(Error::Bug(format!("no codec setting for metric_names '{other}'"))),
    };
    config.metrics.promote_resource_attributes.clone_from(&topology.decode.promote_resource_attributes);
    if let Some(attributes) = &topology.decode.log_stream_attributes {
        config.logs.index_labels.clone_from(attributes);
    }
    Ok(config)
}
