use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::Type;
use syn::ext::IdentExt;
use syn::spanned::Spanned;

use super::method::Method;

/// The typed client that flows use.
pub(crate) fn expand(connector: &Type, methods: &[Method]) -> TokenStream {
    let sends = methods.iter().map(send);
    let prepares = methods.iter().map(prepare);
    quote! {
        /// A connection of this connector, as a flow sees it: its methods, typed.
        #[allow(unreachable_pub, reason = "the module's visibility is its author's choice")]
        #[derive(Debug)]
        pub struct Client {
            connection: ::headgate_sdk::Connection,
        }

        #[allow(dead_code, unreachable_pub, reason = "the module's visibility is its author's choice")]
        impl Client {
            /// The client of the connection bound to a slot. Fails with `slot_unbound`.
            pub fn open(slot: &str) -> ::headgate_sdk::Result<Self> {
                ::core::result::Result::Ok(Self { connection: ::headgate_sdk::Connection::open(slot)? })
            }

            /// The same methods, as calls to be made later, several at once with `headgate_sdk::call_all`.
            pub fn calls(&self) -> Calls<'_> {
                Calls { connection: &self.connection }
            }

            #(#sends)*
        }

        impl ::headgate_sdk::rt::Client for Client {
            fn connector() -> ::std::string::String {
                let manifest: ::headgate_sdk::manifest::Manifest = <#connector>::manifest();
                manifest.name
            }
        }

        /// Calls to be made later, several at once with `headgate_sdk::call_all`.
        #[allow(unreachable_pub, reason = "the module's visibility is its author's choice")]
        #[derive(Debug, Clone, Copy)]
        pub struct Calls<'a> {
            connection: &'a ::headgate_sdk::Connection,
        }

        #[allow(dead_code, unreachable_pub, reason = "the module's visibility is its author's choice")]
        impl<'a> Calls<'a> {
            #(#prepares)*
        }
    }
}

fn send(method: &Method) -> TokenStream {
    let Method { name, description, input, output, .. } = method;
    let text = name.unraw().to_string();
    quote_spanned! {input.span()=>
        #[doc = #description]
        pub fn #name(&self, input: #input) -> ::headgate_sdk::Result<#output> {
            self.connection.call::<#output>(#text, &input)
        }
    }
}

fn prepare(method: &Method) -> TokenStream {
    let Method { name, description, input, output, .. } = method;
    let text = name.unraw().to_string();
    quote_spanned! {input.span()=>
        #[doc = #description]
        pub fn #name(&self, input: #input) -> ::headgate_sdk::Call<'a, #output> {
            self.connection.prepare(#text, &input)
        }
    }
}
