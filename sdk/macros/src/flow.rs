mod declaration;

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Error, FnArg, ItemFn, Result, ReturnType};

use declaration::Declaration;

const SHAPE: &str = "a flow looks like `fn name(event: Event<Data>) -> Result<Answer>`";

/// The export of the component's handler. Where slots are declared, the function learns of it, for its tests.
pub(crate) fn expand(arguments: TokenStream, function: &mut ItemFn) -> Result<TokenStream> {
    let declaration: Declaration = syn::parse2(arguments)?;
    if let Some(statement) = declaration.statement() {
        function.block.stmts.insert(0, statement);
    }
    let (event, answer) = check(function)?;
    let name = &function.sig.ident;
    let describe = declaration.describe(event, answer);
    // Named outright, so that a type that does not fit is told where it stands.
    let event = quote_spanned!(event.span()=> #event);
    let answer = quote_spanned!(answer.span()=> #answer);
    Ok(quote! {
        const _: () = {
            struct ThisFlow;

            impl ::headgate_sdk::rt::Flow for ThisFlow {
                #describe

                fn handle(event: ::headgate_sdk::Event) -> ::headgate_sdk::Result<::headgate_sdk::Response> {
                    ::headgate_sdk::rt::handle::<#event, #answer>(event, #name)
                }
            }

            // Outside of a component nothing else refers to the flow.
            const _: fn(::headgate_sdk::Event) -> ::headgate_sdk::Result<::headgate_sdk::Response> =
                <ThisFlow as ::headgate_sdk::rt::Flow>::handle;

            #[cfg(target_arch = "wasm32")]
            type Exported = ::headgate_sdk::rt::ExportedFlow<ThisFlow>;
            #[cfg(target_arch = "wasm32")]
            ::headgate_sdk::rt::flow::export_flow!(Exported with_types_in ::headgate_sdk::rt::flow);
        };
    })
}

fn check(function: &ItemFn) -> Result<(&syn::Type, &syn::Type)> {
    let signature = &function.sig;
    if let Some(keyword) = &signature.asyncness {
        return Err(Error::new_spanned(keyword, "a flow is not `async`: its calls wait by themselves; remove `async`"));
    }
    if !signature.generics.params.is_empty() {
        return Err(Error::new_spanned(&signature.generics, "a flow has no generic parameters"));
    }
    let mut inputs = signature.inputs.iter();
    let event = match (inputs.next(), inputs.next()) {
        (Some(FnArg::Typed(event)), None) => &*event.ty,
        (Some(FnArg::Receiver(receiver)), _) => {
            return Err(Error::new_spanned(receiver, format!("a flow is a free function without `self`; {SHAPE}")));
        }
        (_, Some(second)) => {
            return Err(Error::new_spanned(second, format!("a flow takes one argument, the event; {SHAPE}")));
        }
        (None, _) => {
            return Err(Error::new_spanned(&signature.ident, format!("a flow takes the event; {SHAPE}")));
        }
    };
    match &signature.output {
        ReturnType::Type(_, answer) => Ok((event, answer)),
        ReturnType::Default => Err(Error::new_spanned(&signature.ident, format!("a flow returns a `Result`; {SHAPE}"))),
    }
}
