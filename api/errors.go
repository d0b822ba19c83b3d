package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"clientes/auth"
	"clientes/store"
)

// The errors that are born here. What a client did wrong is told in more words by a requestError.
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
	errDraining             = errors.New("the server is stopping")
)

// requestError is one of the errors above with a sentence for the client that made it.
type requestError struct {
	kind    error
	message string
}

func (e *requestError) Error() string { return e.kind.Error() + ": " + e.message }
func (e *requestError) Unwrap() error { return e.kind }

func malformed(format string, args ...any) error {
	return &requestError{kind: errMalformedBody, message: fmt.Sprintf(format, args...)}
}

func invalidParameter(format string, args ...any) error {
	return &requestError{kind: errInvalidParameter, message: fmt.Sprintf(format, args...)}
}

// reply is what a client is told of an error.
type reply struct {
	status  int
	code    string // stable, for programs
	message string // for people
}

// replies is where errors become answers: the first line that the error is wins. What no line knows is an
// "internal" 500, and no error's own text reaches a client.
var replies = []struct {
	err error
	reply
}{
	{errNoRoute, reply{404, "not_found", "There is no such path."}},
	{errMethodNotAllowed, reply{405, "method_not_allowed", "This path does not take this method; see the Allow header."}},
	{errMalformedBody, reply{400, "malformed_body", "The body could not be read."}},
	{errInvalidParameter, reply{400, "invalid_parameter", "A query parameter is not right."}},
	{errBodyTooLarge, reply{413, "body_too_large", "The body is larger than 1 MiB."}},
	{errImportTooLarge, reply{413, "body_too_large", "The file is larger than 256 MiB; import it in parts."}},
	{errNotAcceptable, reply{406, "not_acceptable", "This comes as text/csv or application/x-ndjson; ask for one of them in Accept."}},
	{errUnsupportedMediaType, reply{415, "unsupported_media_type", "This path does not take this Content-Type."}},
	{errTokenMissing, reply{401, "token_missing", "No token provided."}},
	{auth.ErrTokenInvalid, reply{401, "token_invalid", "Failed to authenticate token."}},
	{auth.ErrTokenExpired, reply{401, "token_expired", "Failed to authenticate token."}},
	{auth.ErrTokenRevoked, reply{401, "token_revoked", "Failed to authenticate token."}},
	{auth.ErrInvalidLogin, reply{401, "invalid_login", "Invalid Login!"}},
	{auth.ErrMFARequired, reply{401, "mfa_required", "This user has a second factor; a code of it is required."}},
	{auth.ErrMFAInvalid, reply{401, "mfa_invalid", "The code is wrong or was used."}},
	{errRefreshMissing, reply{401, "refresh_invalid", "No refresh token provided."}},
	{auth.ErrRefreshInvalid, reply{401, "refresh_invalid", "Failed to refresh; log in again."}},
	{errCrossOrigin, reply{403, "cross_origin", "Pages of this origin may not use the cookie."}},
	{errForbidden, reply{403, "forbidden", "Your role does not allow this."}},
	{errOwnMFA, reply{403, "forbidden", "Switch off your own second factor with DELETE /me/mfa, which asks for your password and a code."}},
	{errSignupClosed, reply{403, "signup_closed", "Nobody can sign up here; ask an admin for an account."}},
	{auth.ErrMFAOff, reply{404, "not_found", "There is no second factor."}},
	{store.ErrNotFound, reply{404, "not_found", "There is no such record."}},
	{store.ErrLastAdmin, reply{409, "conflict", "The last active admin can not be deleted, disabled or demoted."}},
	{errVersionMismatch, reply{412, "version_mismatch", "The record has changed since; read it again."}},
	{errPreconditionRequired, reply{428, "precondition_required", "Say which version you mean with If-Match: the ETag of the record."}},
	{store.ErrKeyReused, reply{422, "idempotency_mismatch", "This Idempotency-Key was used for another customer; make up a new one."}},
	{store.ErrKeyInProgress, reply{409, "idempotency_in_progress", "The first request with this Idempotency-Key is still at work; try again shortly."}},
	{auth.ErrLinkInvalid, reply{422, "reset_invalid", "This link is not good, or not any more; ask for another."}},
	{auth.ErrTooManyAttempts, reply{429, "too_many_attempts", "Too many attempts have failed; wait before the next one."}}, // in more words by how long
	{auth.ErrOverloaded, reply{503, "overloaded", "Too many logins at once; try again shortly."}},
	{errTooManyBodies, reply{503, "overloaded", "Too many large bodies at once; try again shortly."}},
	{errTooManyTransfers, reply{503, "overloaded", "Too many imports or exports at once; try again when one of them is done."}},
	{errNoRoom, reply{503, "overloaded", "There is no room for the file now; try again later."}},
	{errHalfCopied, reply{503, "store_unavailable", "A copy into the database is not finished."}},
	{errDraining, reply{503, "overloaded", "The server is stopping."}},
	{store.ErrSchema, reply{503, "store_unavailable", "The migrations are not in, or are of another version."}},
	{store.ErrUnavailable, reply{503, "store_unavailable", "The store does not answer; try again shortly."}},
	// The client hung up, or its request took longer than it may: whoever still reads this may try again.
	{context.Canceled, reply{503, "overloaded", "The request took too long; try again shortly."}},
	{context.DeadlineExceeded, reply{503, "overloaded", "The request took too long; try again shortly."}},
}

// retryAfter is what 429 and 503 say in Retry-After, in seconds.
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

// maxFieldErrors is how many faults of one body are told.
const maxFieldErrors = 100

// problem is the one shape of every error.
type problem struct {
	Auth       *bool        `json:"auth,omitzero"` // false in answers about authentication, else absent
	Message    string       `json:"message"`
	Code       string       `json:"code"`
	Errors     []fieldError `json:"errors,omitempty"`
	ErrorCount int64        `json:"error_count,omitzero"` // of an import, whose Errors are the first of them
	RequestID  string       `json:"request_id"`
}

type fieldError struct {
	Row     *int64 `json:"row,omitzero"` // of an import
	Field   string `json:"field"`
	Message string `json:"message"`
	Code    string `json:"code"`
}

// problemFor gives the status and the answer for an error.
func problemFor(err error) (int, problem) {
	var (
		invalid  *store.InvalidError
		rows     *store.RowsError
		conflict *store.ConflictError
		request  *requestError
		many     *auth.TooManyError
	)
	switch {
	case errors.As(err, &invalid):
		p := problem{Message: "Some fields are not valid.", Code: "validation_failed"}
		for _, f := range invalid.Fields[:min(len(invalid.Fields), maxFieldErrors)] {
			p.Errors = append(p.Errors, fieldError{Field: f.Field, Message: f.Message, Code: f.Code})
		}
		return http.StatusUnprocessableEntity, p
	case errors.As(err, &rows):
		p := problem{Message: "Some rows are not valid; none was imported.", Code: "validation_failed", ErrorCount: rows.Count}
		for _, f := range rows.Rows {
			p.Errors = append(p.Errors, fieldError{Row: &f.Row, Field: f.Field, Message: f.Message, Code: f.Code})
		}
		return http.StatusUnprocessableEntity, p
	case errors.As(err, &conflict):
		return http.StatusConflict, problem{
			Message: "Another record has the same " + conflict.Field + ".",
			Code:    "conflict",
			Errors:  []fieldError{{Field: conflict.Field, Message: "Another record has this value.", Code: "taken"}},
		}
	case errors.Is(err, auth.ErrMFAOn):
		return http.StatusConflict, problem{
			Message: "There is a second factor already; switch it off first.",
			Code:    "conflict",
			Errors:  []fieldError{{Field: "mfa", Message: "It is on.", Code: "taken"}},
		}
	}
	r := reply{http.StatusInternalServerError, "internal", "Something went wrong on our side; the log has it under the request_id."}
	for _, line := range replies {
		if errors.Is(err, line.err) {
			r = line.reply
			break
		}
	}
	p := problem{Message: r.message, Code: r.code}
	switch {
	case errors.As(err, &request):
		p.Message = request.message
	case errors.As(err, &many) && many.Asked:
		p.Message = "This was asked for too often; wait " + seconds(many.Seconds()) + " before you ask again."
	case errors.As(err, &many):
		p.Message = "Too many attempts have failed; wait " + seconds(many.Seconds()) + " before the next one."
	}
	if r.status == http.StatusUnauthorized || r.status == http.StatusTooManyRequests && !(many != nil && many.Asked) {
		p.Auth = new(bool)
	}
	switch {
	case errors.Is(err, auth.ErrLinkInvalid):
		p.Errors = []fieldError{{Field: "token", Message: p.Message, Code: "invalid_link"}}
	case errors.Is(err, store.ErrLastAdmin):
		field := "role"
		if last := (*lastAdminError)(nil); errors.As(err, &last) {
			field = last.field
		}
		p.Errors = []fieldError{{Field: field, Message: p.Message, Code: "last_admin"}}
	}
	return r.status, p
}
