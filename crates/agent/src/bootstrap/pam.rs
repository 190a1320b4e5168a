//! Asking PAM, which is loaded only when it is asked: once in the life of a machine.

#![allow(unsafe_code)] // PAM is a C library

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::ptr;

const PAM_SUCCESS: c_int = 0;
const PAM_BUF_ERR: c_int = 5;
const PAM_AUTH_ERR: c_int = 7;
const PAM_USER_UNKNOWN: c_int = 10;
const PAM_MAXTRIES: c_int = 11;
const PAM_CONV_ERR: c_int = 19;
const PAM_PROMPT_ECHO_OFF: c_int = 1;
const PAM_PROMPT_ECHO_ON: c_int = 2;
const PAM_DISALLOW_NULL_AUTHTOK: c_int = 1;

#[repr(C)]
struct Message {
    style: c_int,
    text: *const c_char,
}

#[repr(C)]
struct Response {
    text: *mut c_char,
    code: c_int,
}

type Converse = extern "C" fn(
    count: c_int,
    messages: *mut *const Message,
    responses: *mut *mut Response,
    data: *mut c_void,
) -> c_int;

#[repr(C)]
struct Conversation {
    converse: Converse,
    data: *mut c_void,
}

type Start = unsafe extern "C" fn(*const c_char, *const c_char, *const Conversation, *mut *mut c_void) -> c_int;
type Step = unsafe extern "C" fn(*mut c_void, c_int) -> c_int;

/// Answers every question for a password with the password, and no other question.
extern "C" fn converse(
    count: c_int,
    messages: *mut *const Message,
    responses: *mut *mut Response,
    data: *mut c_void,
) -> c_int {
    let Ok(n) = usize::try_from(count) else { return PAM_CONV_ERR };
    if n == 0 || n > 32 {
        return PAM_CONV_ERR;
    }
    // SAFETY: PAM frees the array and its texts with free(3), so they come from calloc(3) and strdup(3). PAM gives `count`
    // pointers to messages; `data` is the password that `authenticate` keeps alive until pam_end.
    unsafe {
        let answers = libc::calloc(n, size_of::<Response>()).cast::<Response>();
        if answers.is_null() {
            return PAM_BUF_ERR;
        }
        for i in 0..n {
            match (**messages.add(i)).style {
                PAM_PROMPT_ECHO_OFF => (*answers.add(i)).text = libc::strdup(data.cast::<c_char>()),
                PAM_PROMPT_ECHO_ON => (*answers.add(i)).text = libc::strdup(c"".as_ptr()),
                _ => {}
            }
        }
        *responses = answers;
    }
    PAM_SUCCESS
}

/// A loaded library, closed in the end.
struct Library(*mut c_void);

impl Library {
    fn open() -> Result<Self, String> {
        // SAFETY: a constant name; the result is checked.
        let handle = unsafe { libc::dlopen(c"libpam.so.0".as_ptr(), libc::RTLD_NOW | libc::RTLD_GLOBAL) };
        if handle.is_null() { Err("libpam.so.0 can't be loaded; install libpam0g".into()) } else { Ok(Self(handle)) }
    }

    fn symbol(&self, name: &CStr) -> Result<*mut c_void, String> {
        // SAFETY: the handle is open, the name ends with NUL.
        let symbol = unsafe { libc::dlsym(self.0, name.as_ptr()) };
        if symbol.is_null() { Err(format!("libpam has no {name:?}")) } else { Ok(symbol) }
    }
}

impl Drop for Library {
    fn drop(&mut self) {
        // SAFETY: opened by `open`, and nothing of it is used any more.
        unsafe { libc::dlclose(self.0) };
    }
}

/// Whether `password` is `user`'s, as far as the service `service` is concerned.
///
/// # Errors
/// PAM can't be asked.
pub(super) fn authenticate(service: &str, user: &str, password: &str) -> Result<bool, String> {
    let text = |value: &str| CString::new(value);
    let (Ok(service), Ok(user)) = (text(service), text(user)) else { return Err("not a name".into()) };
    // No password holds a NUL.
    let Ok(password) = text(password) else { return Ok(false) };
    let library = Library::open()?;
    // SAFETY: these are the signatures of pam_start(3), pam_authenticate(3), pam_acct_mgmt(3) and pam_end(3).
    let (start, authenticate, account, end) = unsafe {
        (
            std::mem::transmute::<*mut c_void, Start>(library.symbol(c"pam_start")?),
            std::mem::transmute::<*mut c_void, Step>(library.symbol(c"pam_authenticate")?),
            std::mem::transmute::<*mut c_void, Step>(library.symbol(c"pam_acct_mgmt")?),
            std::mem::transmute::<*mut c_void, Step>(library.symbol(c"pam_end")?),
        )
    };
    let conversation = Conversation { converse, data: password.as_ptr().cast_mut().cast() };
    let mut handle = ptr::null_mut();
    // SAFETY: all pointers live until pam_end; the handle is used only if pam_start succeeded.
    let status = unsafe {
        let status = start(service.as_ptr(), user.as_ptr(), &raw const conversation, &raw mut handle);
        if status != PAM_SUCCESS {
            return Err(format!("PAM refuses to start (code {status}); is /etc/pam.d/wcp360 installed?"));
        }
        let mut status = authenticate(handle, PAM_DISALLOW_NULL_AUTHTOK);
        if status == PAM_SUCCESS {
            status = account(handle, PAM_DISALLOW_NULL_AUTHTOK);
        }
        end(handle, status);
        status
    };
    let mut password = password.into_bytes();
    // SAFETY: within the vector; volatile, so that it is not optimised away.
    password.iter_mut().for_each(|byte| unsafe { ptr::write_volatile(byte, 0) });
    match status {
        PAM_SUCCESS => Ok(true),
        PAM_AUTH_ERR | PAM_USER_UNKNOWN | PAM_MAXTRIES => Ok(false),
        // An expired or locked account, among others: the password may be right, the answer is no.
        other => {
            tracing::warn!(code = other, "PAM says no");
            Ok(false)
        }
    }
}
