package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"

	"clientes/api/wire"
	"clientes/auth"
	"clientes/store"
)

// The errors of this package. A requestError tells the client more about what it did wrong.
var (
	errNoRoute              = errors.New("no such path")
	errMethodNotAllowed     = errors.New("method not allowed")
	errMalformedBody        = errors.New("malformed body")
	errInvalidParameter     = errors.New("invalid parameter")
	errBodyTooLarge         = errors.New("body too large")
	errUnsupportedMediaType = errors.New("unsupported media type")
	errTokenMissing         = errors.New("token missing")
	errRefreshMissing       = errors.New("refresh token missing")
	errCrossOrigin          = errors.New("a cookie of another origin's page")
	errForbidden            = errors.New("the role does not allow this")
	errKeyEverywhere        = scopeMissing(noKey)
	errLastAdminDisabled    = fmt.Errorf("disabled: %w", store.ErrLastAdmin)
	errSignupClosed         = errors.New("sign-up is closed")
	errOwnMFA               = errors.New("the second factor of the admin who asks")
	errVersionMismatch      = errors.New("the record is not at that version")
	errPreconditionRequired = errors.New("If-Match is required")
	errImportTooLarge       = errors.New("import too large")
	errNotAcceptable        = errors.New("not acceptable")
	errTooManyTransfers     = errors.New("too many imports or exports are under way")
	errNoRoom               = errors.New("no room for the file")
	errHalfCopied           = errors.New("a copy into the database is not finished")
	errTooManyBodies        = errors.New("too many large bodies are on their way")
	errOwnTransfer          = errors.New("another import or download of the user is under way")
	errTooManyListeners     = errors.New("too many requests follow the changes")
	errOwnListeners         = errors.New("too many requests of the session follow the changes")
	errDraining             = errors.New("the server is stopping")
)

// requestError is one of the errors above, with a sentence for the client that caused it.
type requestError struct {
	kind    error
	message string
}

func (e *requestError) Error() string { return e.kind.Error() + ": " + e.message }
func (e *requestError) Unwrap() error { return e.kind }

// scopeError refuses a key that lacks the scope of a route.
type scopeError struct {
	requestError
	scope store.Scope // noKey if no key may call it
}

// scopeMissing returns the error for a key that lacks a scope.
func scopeMissing(scope store.Scope) error {
	message := "The key lacks the scope " + string(scope) + "."
	if scope == noKey {
		message = "No key may do this; log in."
	}
	return &scopeError{requestError{errForbidden, message}, scope}
}

func malformed(format string, args ...any) error {
	return &requestError{kind: errMalformedBody, message: fmt.Sprintf(format, args...)}
}

func invalidParameter(format string, args ...any) error {
	return &requestError{kind: errInvalidParameter, message: fmt.Sprintf(format, args...)}
}

func unsupported(message string) error {
	return &requestError{kind: errUnsupportedMediaType, message: message}
}

// bodyTooLarge returns an error for a body of more than limit bytes.
func bodyTooLarge(limit int64) error {
	message := "The body is larger than " + strconv.FormatInt(limit>>10, 10) + " KiB."
	if limit == maxBody {
		message = "The body is larger than 1 MiB."
	}
	return &requestError{kind: errBodyTooLarge, message: message}
}

// reply is what a client is told of an error.
type reply struct {
	status  int
	code    string                // stable, for programs
	message string                // for people
	fault   fieldError            // what is wrong with one member, if it is always the same
	detail  func(error, *problem) // adds what an error itself has to say, if not nil
}

// fixed returns a reply that is the same for every error of its kind.
func fixed(status int, code, message string) reply {
	return reply{status: status, code: code, message: message}
}

// about returns the reply with an entry for a member in "errors".
func (r reply) about(field, code, message string) reply {
	r.fault = fieldError{Field: field, Message: message, Code: code}
	return r
}

// and returns the reply with what detail adds from the error itself.
func (r reply) and(detail func(error, *problem)) reply {
	r.detail = detail
	return r
}

// is returns a test for errors that are target.
func is(target error) func(error) bool {
	return func(err error) bool { return errors.Is(err, target) }
}

// as reports whether an error is of type E.
func as[E error](err error) bool {
	_, is := errors.AsType[E](err)
	return is
}

// Messages that stand in an answer twice: for the whole and for the member.
const (
	lastAdmin   = "The last active admin cannot be deleted, disabled or demoted."
	tooManyKeys = "You have as many keys as one may have; end one first."
	badLink     = "This link is not good, or not any more; ask for another."
)

// replies is where errors become answers: the first line that matches wins. An error without a line
// is an "internal" 500. No error's own text reaches a client, unless it was written for one.
var replies = []struct {
	matches func(error) bool
	reply
}{
	// First, because these refusals must cost little.
	{is(store.ErrOverloaded), fixed(503, "overloaded",
		"The server has too much to do; try again shortly.")},
	{is(auth.ErrTokenInvalid), fixed(401, "token_invalid", "Failed to authenticate token.")},
	{as[*notReadyError],
		fixed(503, "store_unavailable", "The server is not ready.").and(listChecks)},
	{as[*store.InvalidError],
		fixed(422, "validation_failed", "Some fields are not valid.").and(listFields)},
	{as[*store.RowsError],
		fixed(422, "validation_failed", "Some rows are not valid; none was imported.").
			and(listRows)},
	{as[*store.ConflictError],
		fixed(409, "conflict", "Another record has the same value.").and(nameConflict)},
	{as[*wire.MalformedError],
		fixed(400, "malformed_body", "The body could not be read.").and(nameMalformed)},
	{is(auth.ErrMFAOn),
		fixed(409, "conflict", "There is a second factor already; switch it off first.").
			about("mfa", "taken", "It is on.")},
	{is(errNoRoute), fixed(404, "not_found", "There is no such path.")},
	{is(errMethodNotAllowed), fixed(405, "method_not_allowed",
		"This path does not take this method; see the Allow header.")},
	{is(errMalformedBody), fixed(400, "malformed_body", "The body could not be read.")},
	{is(errInvalidParameter), fixed(400, "invalid_parameter", "A query parameter is not right.")},
	{is(errBodyTooLarge), fixed(413, "body_too_large", "The body is too large.")},
	{is(errImportTooLarge), fixed(413, "body_too_large",
		"The file is larger than 256 MiB; import it in parts.")},
	{is(errNotAcceptable), fixed(406, "not_acceptable",
		"This comes as text/csv or application/x-ndjson; ask for one of them in Accept.")},
	{is(errUnsupportedMediaType), fixed(415, "unsupported_media_type",
		"This path does not take this Content-Type.")},
	{is(errTokenMissing), fixed(401, "token_missing", "No token provided.")},
	{is(auth.ErrTokenExpired), fixed(401, "token_expired", "Failed to authenticate token.")},
	{is(auth.ErrTokenRevoked), fixed(401, "token_revoked", "Failed to authenticate token.")},
	{is(auth.ErrInvalidLogin), fixed(401, "invalid_login", "Invalid Login!")},
	{is(auth.ErrMFARequired), fixed(401, "mfa_required",
		"This user has a second factor; a code of it is required.")},
	{is(auth.ErrMFAInvalid), fixed(401, "mfa_invalid", "The code is wrong or was used.")},
	{is(auth.ErrMFASealed), fixed(401, "mfa_invalid",
		"Codes of the app cannot be checked now; use a recovery code, or ask an admin for help.")},
	{is(errRefreshMissing), fixed(401, "refresh_invalid", "No refresh token provided.")},
	{is(auth.ErrRefreshInvalid), fixed(401, "refresh_invalid",
		"Failed to refresh; log in again.")},
	{is(errCrossOrigin), fixed(403, "cross_origin",
		"Pages of this origin may not use the cookie.")},
	{is(errForbidden), fixed(403, "forbidden", "Your role does not allow this.")},
	{is(auth.ErrStepUpRequired), fixed(403, "step_up_required",
		"A token alone does not allow this: send your own password as \"current\" in the body "+
			"(and a code of your second factor as \"code\", if you have one), "+
			"or log in again and repeat this within five minutes.")},
	{is(auth.ErrMFASetupRequired), fixed(403, "mfa_setup_required",
		"You must have a second factor. Set one up with POST /me/mfa and POST /me/mfa/confirm, "+
			"then POST /refresh; if you have one, log in again with a code of it.")},
	{is(auth.ErrMFAMustStay), fixed(403, "forbidden",
		"You must have a second factor, so you cannot switch it off. "+
			"To replace it, ask another admin to switch it off for you, or whoever runs the server.")},
	{is(errOwnMFA), fixed(403, "forbidden",
		"Switch off your own second factor with DELETE /me/mfa, "+
			"which asks for your password and a code.")},
	{is(errSignupClosed), fixed(403, "signup_closed",
		"Nobody can sign up here; ask an admin for an account.")},
	{is(auth.ErrMFAOff), fixed(404, "not_found", "There is no second factor.")},
	{is(store.ErrNotFound), fixed(404, "not_found", "There is no such record.")},
	{is(errLastAdminDisabled),
		fixed(409, "conflict", lastAdmin).about("disabled", "last_admin", lastAdmin)},
	{is(store.ErrLastAdmin),
		fixed(409, "conflict", lastAdmin).about("role", "last_admin", lastAdmin)},
	{is(errVersionMismatch), fixed(412, "version_mismatch",
		"The record has changed since; read it again.")},
	{is(errPreconditionRequired), fixed(428, "precondition_required",
		"Say which version you mean with If-Match: the ETag of the record.")},
	{is(store.ErrKeyReused), fixed(422, "idempotency_mismatch",
		"This Idempotency-Key was used for another customer; make up a new one.")},
	{is(store.ErrKeyInProgress), fixed(409, "idempotency_in_progress",
		"The first request with this Idempotency-Key is still at work; try again shortly.")},
	{is(auth.ErrTooManyKeys),
		fixed(409, "conflict", tooManyKeys).about("keys", "too_many", tooManyKeys)},
	{is(auth.ErrLinkInvalid),
		fixed(422, "reset_invalid", badLink).about("token", "invalid_link", badLink)},
	{is(auth.ErrCaptchaRequired),
		fixed(429, "captcha_required", "Solve the challenge, or wait.").and(sayHowLong)},
	{is(auth.ErrTooManyAttempts),
		fixed(429, "too_many_attempts", "Too many attempts have failed; wait before the next one.").
			and(sayHowLong)},
	{is(auth.ErrOverloaded), fixed(503, "overloaded",
		"Too many logins at once; try again shortly.")},
	{is(auth.ErrNoHasher), fixed(503, "overloaded",
		"Passwords cannot be checked now; try again shortly.")},
	{is(errTooManyBodies), fixed(503, "overloaded",
		"Too many large bodies at once; try again shortly.")},
	{is(errOwnTransfer), fixed(429, "too_many_attempts",
		"One import and one download of yours may be under way; wait until the other one is done.")},
	{is(errTooManyTransfers), fixed(503, "overloaded",
		"Too many imports or downloads at once; try again when one of them is done.")},
	{is(errOwnListeners), fixed(429, "too_many_attempts",
		"Ten requests of this session follow the changes already; end one of them.")},
	{is(errTooManyListeners), fixed(503, "overloaded",
		"Too many requests follow the changes; try again when one of them has ended.")},
	{is(store.ErrUnknownPosition), fixed(400, "invalid_parameter",
		"The cursor in \"since\" or Last-Event-ID is of another database, or of a state that an "+
			"older one has replaced; begin again with since=0 and an empty copy.")},
	{is(errNoRoom), fixed(503, "overloaded",
		"There is no room for the file now; try again later.")},
	{is(errDraining), fixed(503, "overloaded", "The server is stopping.")},
	{is(store.ErrSchema), fixed(503, "store_unavailable",
		"The migrations are not in, or are of another version.")},
	{is(store.ErrUnavailable), fixed(503, "store_unavailable",
		"The store does not answer; try again shortly.")},
	// The client hung up, or its request took longer than it may.
	{is(context.Canceled), fixed(503, "overloaded",
		"The request took too long; try again shortly.")},
	{is(context.DeadlineExceeded), fixed(503, "overloaded",
		"The request took too long; try again shortly.")},
}

// retryAfter returns the value of Retry-After for a 429 or 503, in seconds.
func retryAfter(err error) string {
	var many *auth.TooManyError
	if errors.As(err, &many) {
		return strconv.FormatInt(many.Seconds(), 10)
	}
	return "1"
}

func seconds(n int64) string {
	if n == 1 {
		return "a second"
	}
	return strconv.FormatInt(n, 10) + " seconds"
}

// problem is the shape of every answer to an error.
type problem struct {
	Auth       *bool        `json:"auth,omitzero"` // false if it is about authentication
	Message    string       `json:"message"`
	Code       string       `json:"code"`
	Errors     []fieldError `json:"errors,omitempty"`
	ErrorCount int64        `json:"error_count,omitzero"` // of an import; Errors has the first
	Checks     *checks      `json:"checks,omitempty"`     // of /readyz
	Challenge  string       `json:"challenge,omitempty"`  // of a 429 that a solution gets past
	RequestID  string       `json:"request_id"`
}

type fieldError struct {
	Row     *int64 `json:"row,omitzero"` // of an import
	Field   string `json:"field"`
	Message string `json:"message"`
	Code    string `json:"code"`
}

// appendJSON appends the JSON of the problem. It is written by hand because the refusal of a forged
// token is little else: this takes a sixth of the time of reflection (BenchmarkProblem).
func (p *problem) appendJSON(b []byte) ([]byte, error) {
	if p.Checks != nil {
		return appendReflected(b, p) // of /readyz
	}
	b = append(b, '{')
	if p.Auth != nil {
		b = append(strconv.AppendBool(append(b, `"auth":`...), *p.Auth), ',')
	}
	b = appendText(b, `"message":`, p.Message)
	b = appendText(b, `,"code":`, p.Code)
	for i, f := range p.Errors {
		b = append(b, [...]string{`,"errors":[{`, `,{`}[min(i, 1)]...)
		if f.Row != nil {
			b = append(strconv.AppendInt(append(b, `"row":`...), *f.Row, 10), ',')
		}
		b = appendText(b, `"field":`, f.Field)
		b = appendText(b, `,"message":`, f.Message)
		b = append(appendText(b, `,"code":`, f.Code), '}')
	}
	if len(p.Errors) > 0 {
		b = append(b, ']')
	}
	if p.ErrorCount != 0 {
		b = strconv.AppendInt(append(b, `,"error_count":`...), p.ErrorCount, 10)
	}
	if p.Challenge != "" {
		b = appendText(b, `,"challenge":`, p.Challenge)
	}
	return append(appendText(b, `,"request_id":`, p.RequestID), '}'), nil
}

// appendText appends a member of an object, and what stands before its value.
func appendText(b []byte, name, value string) []byte {
	b, _ = jsontext.AppendQuote(append(b, name...), value) // it has replaced invalid UTF-8
	return b
}

// problemFor returns the status and the answer for an error.
func problemFor(err error) (int, *problem) {
	r := fixed(http.StatusInternalServerError, "internal",
		"Something went wrong on our side; the log has it under the request_id.")
	for _, line := range replies {
		if line.matches(err) {
			r = line.reply
			break
		}
	}
	p := &problem{Message: r.message, Code: r.code}
	if r.status == http.StatusUnauthorized {
		p.Auth = new(bool)
	}
	if r.fault.Code != "" {
		p.Errors = []fieldError{r.fault}
	}
	if request, is := errors.AsType[*requestError](err); is {
		p.Message = request.message
	}
	if lacks, is := errors.AsType[*scopeError](err); is {
		p.Message = lacks.message
	}
	if r.detail != nil {
		r.detail(err, p)
	}
	return r.status, p
}

// listChecks names the checks that failed. If it was the hasher alone, the store is well.
func listChecks(err error, p *problem) {
	var bad *notReadyError
	errors.As(err, &bad)
	p.Message, p.Checks = bad.message, &bad.checks
	c := bad.checks
	c.Hasher = checkOK
	if c == (checks{checkOK, checkOK, checkOK, checkOK}) {
		p.Code = "overloaded"
	}
}

func listFields(err error, p *problem) {
	var invalid *store.InvalidError
	errors.As(err, &invalid)
	for _, f := range invalid.Fields[:min(len(invalid.Fields), wire.MaxFieldErrors)] {
		p.Errors = append(p.Errors, fieldError{Field: f.Field, Message: f.Message, Code: f.Code})
	}
}

func listRows(err error, p *problem) {
	var rows *store.RowsError
	errors.As(err, &rows)
	p.ErrorCount = rows.Count
	for _, f := range rows.Rows {
		fault := fieldError{Row: &f.Row, Field: f.Field, Message: f.Message, Code: f.Code}
		p.Errors = append(p.Errors, fault)
	}
}

func nameConflict(err error, p *problem) {
	var conflict *store.ConflictError
	errors.As(err, &conflict)
	p.Message = "Another record has the same " + conflict.Field + "."
	p.Errors = []fieldError{
		{Field: conflict.Field, Message: "Another record has this value.", Code: "taken"},
	}
}

func nameMalformed(err error, p *problem) {
	var malformed *wire.MalformedError
	errors.As(err, &malformed)
	p.Message = malformed.Message
}

// refusedLogin is an error that refuses a login, but not as a 401. The answer is about
// authentication all the same.
type refusedLogin struct{ error }

func (e *refusedLogin) Unwrap() error { return e.error }

// sayHowLong names the wait, and what may stand in for it.
func sayHowLong(err error, p *problem) {
	if as[*refusedLogin](err) {
		p.Auth = new(bool)
	}
	var many *auth.TooManyError
	if !errors.As(err, &many) {
		return
	}
	wait := "wait " + seconds(many.Seconds()) + " before "
	p.Message = "Too many attempts have failed; " + wait + "the next one."
	if many.Asked {
		p.Message = "This was asked for too often; " + wait + "you ask again."
	}
	var challenged *auth.ChallengeError
	if !errors.As(err, &challenged) {
		return
	}
	if p.Challenge = challenged.Challenge; p.Challenge != "" {
		p.Message += " Or solve the challenge, and send the solution as captcha."
	}
	if challenged.Refused {
		p.Message += " The captcha did not count: it is wrong, has expired, was used, " +
			"is for something else, or no captcha counts now."
	}
}
