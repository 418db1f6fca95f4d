//! Calls of functions.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::function::{Arguments, FunctionError};
use crate::proto::tf;
use crate::provider::Provider;

use super::{Server, decode_as, encode, guard::panic_text, messages};

impl<P: Provider> Server<P> {
    pub(super) fn call_function(
        &self,
        request: &tf::call_function::Request,
    ) -> tf::call_function::Response {
        let called = catch_unwind(AssertUnwindSafe(|| self.result_of(request)));
        let result = called.unwrap_or_else(|panic| {
            let text = format!(
                "The function crashed, which is a bug in the provider: {}",
                panic_text(&*panic)
            );
            Err(FunctionError::new(text))
        });
        match result {
            Ok(result) => tf::call_function::Response {
                result: Some(result),
                error: None,
            },
            Err(mut error) => {
                // Terraform puts a full stop behind it.
                if error.text.ends_with('.') {
                    error.text.pop();
                }
                tf::call_function::Response {
                    result: None,
                    error: Some(messages::function_error(error)),
                }
            }
        }
    }

    fn result_of(
        &self,
        request: &tf::call_function::Request,
    ) -> Result<tf::DynamicValue, FunctionError> {
        let unknown = || {
            FunctionError::new(format!(
                "This version of the provider has no function {}.",
                request.name
            ))
        };
        let function = self.functions.get(&request.name).ok_or_else(unknown)?;
        let signature = self
            .description
            .functions
            .get(&request.name)
            .ok_or_else(unknown)?;
        let arguments = request.arguments.iter().enumerate().map(|(i, argument)| {
            let parameter = signature.parameter_at(i);
            let parameter = parameter
                .ok_or_else(|| FunctionError::argument(i, "There are too many arguments."))?;
            decode_as(Some(argument), &parameter.ty)
                .map_err(|error| FunctionError::argument(i, error.detail))
        });
        let arguments = Arguments::new(arguments.collect::<Result<_, _>>()?);
        let result = function.call(&arguments)?;
        encode(&result, &signature.result).map_err(|error| FunctionError::new(error.to_string()))
    }
}
