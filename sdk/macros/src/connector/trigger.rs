use proc_macro2::TokenStream;
use quote::quote;
use syn::ext::IdentExt;
use syn::{Error, Expr, FnArg, Ident, ImplItemFn, LitStr, Meta, Result, ReturnType, Signature, Type};

use super::method;

const SHAPE: &str =
    "a trigger looks like `fn name(input: Input, cursor: Option<Cursor>) -> Result<Polled<Record, Cursor>>`";

/// One polling trigger of a connector, as its author wrote it.
pub(crate) struct Trigger {
    pub(crate) name: Ident,
    description: String,
    scopes: Vec<LitStr>,
    sample: Option<Expr>,
}

impl Trigger {
    /// The trigger that a function is, if it has the attribute, which is taken off.
    pub(crate) fn take(function: &mut ImplItemFn) -> Result<Option<Self>> {
        let Some(index) = function.attrs.iter().position(|attribute| attribute.path().is_ident("trigger")) else {
            return Ok(None);
        };
        let attribute = function.attrs.remove(index);
        let (mut scopes, mut sample) = (Vec::new(), None);
        if matches!(attribute.meta, Meta::List(_)) {
            attribute.parse_nested_meta(|option| {
                if option.path.is_ident("scopes") {
                    scopes = method::scopes(&option)?;
                    return Ok(());
                }
                if option.path.is_ident("sample") {
                    sample = Some(option.value()?.parse()?);
                    return Ok(());
                }
                let message = "unknown option; there are `scopes(\"one\", \"or this one\")` and `sample = a_function`";
                Err(option.error(message))
            })?;
        }
        check(&function.sig)?;
        let description = method::description(&function.attrs);
        Ok(Some(Self { name: function.sig.ident.clone(), description, scopes, sample }))
    }

    /// Its entry in the manifest.
    pub(crate) fn entry(&self, connector: &Type) -> TokenStream {
        let Self { name: function, description, scopes, sample } = self;
        let name = function.unraw().to_string();
        let sample = match sample {
            Some(sample) => quote!(::core::option::Option::Some(#sample)),
            None => quote!(::core::option::Option::None),
        };
        quote! {
            ::headgate_sdk::rt::trigger(#name, #description, &[#(#scopes),*], <#connector>::#function, #sample)
        }
    }

    /// Its arm in the choice by name.
    pub(crate) fn arm(&self, connector: &Type) -> TokenStream {
        let function = &self.name;
        let name = function.unraw().to_string();
        quote!(#name => ::headgate_sdk::rt::poll(#name, input, cursor, <#connector>::#function),)
    }
}

fn check(signature: &Signature) -> Result<()> {
    if let Some(keyword) = &signature.asyncness {
        let message = "a trigger is not `async`: its requests wait by themselves; remove `async`";
        return Err(Error::new_spanned(keyword, message));
    }
    if let Some(FnArg::Receiver(receiver)) = signature.inputs.first() {
        let message = format!("a trigger has no `self`, as each poll gets a fresh instance; {SHAPE}");
        return Err(Error::new_spanned(receiver, message));
    }
    if signature.inputs.len() != 2 {
        let message = format!("a trigger takes its input and the cursor; {SHAPE}");
        return Err(Error::new_spanned(&signature.ident, message));
    }
    match &signature.output {
        ReturnType::Type(..) => Ok(()),
        ReturnType::Default => {
            Err(Error::new_spanned(&signature.ident, format!("a trigger returns a `Result`; {SHAPE}")))
        }
    }
}
