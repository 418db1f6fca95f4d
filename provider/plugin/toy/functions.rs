//! Functions with fixed and with any number of parameters.

use tfplugin::{Arguments, Function, FunctionError, Parameter, Signature, Type, Value};

pub(crate) struct Double;

impl Function for Double {
    fn name(&self) -> &str {
        "double"
    }

    fn signature(&self) -> Signature {
        let number = Parameter::new("number", Type::Number, "A whole number.");
        Signature::new("Twice as much.", Type::Number).parameter(number)
    }

    fn call(&self, arguments: &Arguments) -> Result<Value, FunctionError> {
        let number: i64 = arguments.get(0)?;
        assert!(number != 13, "thirteen brings bad luck");
        let doubled = number
            .checked_mul(2)
            .ok_or_else(|| FunctionError::argument(0, "That is too much."))?;
        Ok(doubled.into())
    }
}

pub(crate) struct Join;

impl Function for Join {
    fn name(&self) -> &str {
        "join"
    }

    fn signature(&self) -> Signature {
        Signature::new("Words in a row.", Type::String)
            .parameter(Parameter::new("between", Type::String, "What goes between.").allow_null())
            .variadic(Parameter::new("words", Type::String, "The words."))
    }

    fn call(&self, arguments: &Arguments) -> Result<Value, FunctionError> {
        let between: Option<String> = arguments.get(0)?;
        let words: Vec<String> = arguments.rest(1)?;
        Ok(words.join(&between.unwrap_or_default()).into())
    }
}
