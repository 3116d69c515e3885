//! The plan of the file that llama.cpp takes as `--mmproj`: vision and audio encoders with their projectors.

use kernels::quant::{ModelShape, OutputType, TypeOverrides, TypeSelector};

use super::GgufOptions;
use super::GgufPlan;
use super::general_metadata::{naming, sampling};
use super::planned_tensor::{PlannedTensor, PlannedTensors, RowSource};
use super::select_tensors::converter_order;
use crate::error::{Error, Result};
use crate::gemma::{MappedTensor, MmprojEncoders};
use crate::gguf::GgufMetadata;
use crate::merge::Model;
use crate::plan::{check_encoders, missing_encoder_tensor};
use crate::report::ReportOptions;

impl GgufPlan {
    /// Plans the file of a multimodal model's encoders and projectors. The types that the converter writes are
    /// possible; for any other type of `options` the file is F16.
    ///
    /// # Errors
    /// When the model has no encoders, a tensor or `preprocessor_config.json` is missing, or a tensor is unknown or has
    /// the wrong shape.
    pub fn mmproj(model: &Model, options: &GgufOptions) -> Result<Self> {
        let encoders = MmprojEncoders::of(model.base().config())?;
        encoders.check_expressible()?;
        check_encoders(model, &encoders)?;
        let merged = model.adapter().is_some();
        let mut planned = select(model, &encoders, merged)?;
        let trained = planned.iter().flat_map(PlannedTensor::tensors).any(|tensor| model.is_changed(tensor));
        let model = if trained { model.clone() } else { Model::new(model.base()) };
        if !trained {
            // the adapter changes the language model alone, so the report of this file does not list it
            planned = select(&model, &encoders, merged)?;
        }
        if let Some(name) = planned.missing(&encoders.required_tensors(planned.names())?) {
            return Err(missing_encoder_tensor(&model, name));
        }
        let output = Some(options.output_type).filter(|t| t.is_converter_type()).unwrap_or(OutputType::F16);
        let mut tensors = planned.into_vec();
        set_types(&encoders, output, &mut tensors);
        let mut metadata = GgufMetadata::new("clip");
        metadata.set("general.type", "mmproj");
        sampling(model.files(), &mut metadata)?;
        naming(options, &tensors, &mut metadata);
        encoders.write_parameters(model.files(), output.file_type(), &mut metadata)?;
        metadata.set("general.quantization_version", 2_u32);
        let name = options.report_name();
        let options = ReportOptions { name, quantization: Some(output.as_str()), ..ReportOptions::default() };
        let companions = ["preprocessor_config.json", "processor_config.json", "generation_config.json"];
        Self::single_file(model, options, &companions, metadata, tensors)
    }
}

fn select(model: &Model, encoders: &MmprojEncoders, merged: bool) -> Result<PlannedTensors> {
    let mut planned = PlannedTensors::default();
    for number in converter_order(model, merged) {
        let info = &model.tensors()[number].info;
        let error = |problem: String| Error::tensor(model.base().file_of(info), &info.name, problem);
        let name = match encoders.map_tensor(&info.name) {
            MappedTensor::Tensor(name, _) => name,
            MappedTensor::Skipped => continue,
            MappedTensor::StackPart { .. } | MappedTensor::LmHead | MappedTensor::Unknown => {
                return Err(error("is not a tensor that mmproj files have".to_owned()));
            }
        };
        let rows = vec![RowSource::Tensor { tensor: number, elements: info.elements() }];
        let (shape, transform) = encoders.transform(&name, &info.shape).map_err(error)?;
        planned.push(model, number, PlannedTensor::new(name, shape, rows, transform))?;
    }
    Ok(planned)
}

fn set_types(encoders: &MmprojEncoders, output: OutputType, tensors: &mut [PlannedTensor]) {
    let rules = TypeOverrides::default();
    let shape = ModelShape { quantized: false, ..ModelShape::default() };
    let mut selector = TypeSelector::new(output, &rules, shape);
    for tensor in tensors {
        let [.., _, columns] = tensor.shape[..] else { continue };
        let fixed = encoders.fixed_type(&tensor.name, output);
        tensor.as_type = fixed.unwrap_or_else(|| selector.select(&tensor.name, columns));
    }
}
