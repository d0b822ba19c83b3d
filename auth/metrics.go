package auth

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"clientes/auth/password"
	"clientes/auth/throttle"
	"clientes/auth/token"
	"clientes/store"
)

// metrics counts what an Auth does. Whatever can be read when somebody looks is read then, see
// [metrics.observe]. A nil *metrics counts nothing.
//
// No label has a name, an address, a session or a token in it: each has one of the few values that
// are listed here. All series exist from the start, so that a rate is right from the first event.
type metrics struct {
	registerer prometheus.Registerer

	logins, refreshes, mails *prometheus.CounterVec

	blocked prometheus.Counter
	hashing prometheus.Histogram
	waiting prometheus.Histogram
	cache   token.CacheCounts
}

// The results of logins, refreshes and mails.
const (
	resultOK          = "ok"
	resultBlocked     = "blocked"     // too many attempts before it
	resultUnavailable = "unavailable" // the store did not answer
	resultCanceled    = "canceled"    // the client hung up
	resultError       = "error"       // anything else: the log has it

	resultWrong        = "wrong"
	resultFactorWanted = "second_factor_wanted"
	resultFactorWrong  = "second_factor_wrong"
	resultCaptcha      = "captcha"    // too many attempts before it, but a solved puzzle would do
	resultOverloaded   = "overloaded" // at the gate
	resultNoHasher     = "no_hasher"

	resultReplayed = "replayed" // the answer of another refresh once more, within the grace
	resultReused   = "reused"   // a theft
	resultInvalid  = "invalid"
	resultExpired  = "expired"

	resultSent          = "sent"
	resultFailed        = "failed" // it will be tried again
	resultUndeliverable = "undeliverable"
	resultGivenUp       = "given_up"
	resultUnneeded      = "unneeded" // what it was about was cancelled while it waited
)

func loginResults() []string {
	return []string{
		resultOK, resultWrong, resultFactorWanted, resultFactorWrong, resultBlocked, resultCaptcha,
		resultOverloaded, resultNoHasher, resultUnavailable, resultCanceled, resultError,
	}
}

func refreshResults() []string {
	return []string{
		resultOK, resultReplayed, resultReused, resultInvalid, resultExpired, resultBlocked,
		resultUnavailable, resultCanceled, resultError,
	}
}

func mailResults() []string {
	return []string{
		resultSent, resultFailed, resultUndeliverable, resultGivenUp, resultUnneeded,
	}
}

// newMetrics returns metrics to register, or nil without a registerer.
func newMetrics(r prometheus.Registerer) *metrics {
	if r == nil {
		return nil
	}
	return &metrics{
		registerer: r,
		logins: byResult("clientes_logins_total",
			"Logins by their result.", loginResults()),
		refreshes: byResult("clientes_refreshes_total",
			"Refreshes of a session by their result.", refreshResults()),
		mails: byResult("clientes_mails_total",
			"Mails by what became of them; one that failed is tried again.", mailResults()),
		blocked: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "clientes_attempts_blocked_total",
			Help: "Passwords, codes and requests that were refused because too many came before.",
		}),
		hashing: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "clientes_password_hash_duration_seconds",
			Help: "How long a password took to hash, verify or judge, without the wait before it.",
			Buckets: []float64{
				.005, .01, .02, .03, .05, .075, .1, .15, .25, .5, 1, 2.5, 5, 10, 30,
			},
		}),
		waiting: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "clientes_password_hash_queue_duration_seconds",
			Help: "How long a password waited for its turn to be hashed.",
			Buckets: []float64{
				.001, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10,
			},
		}),
	}
}

func byResult(name, help string, results []string) *prometheus.CounterVec {
	opts := prometheus.CounterOpts{Name: name, Help: help}
	v := prometheus.NewCounterVec(opts, []string{"result"})
	for _, result := range results {
		v.WithLabelValues(result)
	}
	return v
}

// gate returns the gate with its hashes observed.
func (m *metrics) gate(g *password.Gate) *password.Gate {
	if m == nil {
		return g
	}
	seconds := func(h prometheus.Histogram) func(time.Duration) {
		return func(d time.Duration) { h.Observe(d.Seconds()) }
	}
	return g.Observed(password.Observer{Waited: seconds(m.waiting), Worked: seconds(m.hashing)})
}

// cacheCounts returns where the token cache counts, or nil.
func (m *metrics) cacheCounts() *token.CacheCounts {
	if m == nil {
		return nil
	}
	return &m.cache
}

// observe registers the metrics of a, which is complete.
func (m *metrics) observe(a *Auth) error {
	if m == nil {
		return nil
	}
	count := func(name, help string, n func() int64) prometheus.Collector {
		return prometheus.NewCounterFunc(prometheus.CounterOpts{Name: name, Help: help},
			func() float64 { return float64(n()) })
	}
	gauge := func(name, help string, value func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, value)
	}
	gate := a.cfg.Gate
	var errs []error
	for _, c := range []prometheus.Collector{
		m.logins, m.refreshes, m.mails, m.blocked, m.hashing, m.waiting,
		gauge("clientes_password_hashes_waiting",
			"Passwords that wait for their turn to be hashed.",
			func() float64 { return float64(gate.Waiting()) }),
		count("clientes_password_hasher_restarts_total",
			"How often another process that hashes passwords was started, since one had ended.",
			gate.HasherRestarts),
		gauge("clientes_ended_sessions", "Sessions in memory that have ended: the deny list.",
			func() float64 { return float64(a.denied.known.ended()) }),
		gauge("clientes_ended_sessions_age_seconds",
			"Since when this process has not learned which sessions ended elsewhere. "+
				"Tokens are checked with the database if it is above 0.9.",
			func() float64 { return a.denied.age().Seconds() }),
		count("clientes_clock_steps_total",
			"How often the clock of this machine, or of the database server, was set.",
			a.clocks.total),
		count("clientes_token_cache_hits_total",
			"Access tokens and keys that were in the caches of verified ones.", m.cache.Hits),
		count("clientes_token_cache_misses_total",
			"Access tokens and keys that were not, good and bad ones.", m.cache.Misses),
		gauge("clientes_audit_waiting", "Rows of the audit that wait to be kept.",
			func() float64 { return float64(a.audit.waiting.len()) }),
		newMailQueue(a.cfg.Store),
	} {
		errs = append(errs, m.registerer.Register(c))
	}
	return errors.Join(errs...)
}

// login counts a login that ended with err.
func (m *metrics) login(err error) {
	if m != nil {
		m.logins.WithLabelValues(loginResult(err)).Inc()
	}
}

func loginResult(err error) string {
	var challenge *ChallengeError
	switch {
	case err == nil:
		return resultOK
	case errors.Is(err, store.ErrUnavailable):
		return resultUnavailable
	case errors.Is(err, ErrInvalidLogin):
		return resultWrong
	case errors.Is(err, ErrMFARequired):
		return resultFactorWanted
	case errors.Is(err, ErrMFAInvalid):
		return resultFactorWrong
	case errors.As(err, &challenge) && challenge.Challenge != "":
		return resultCaptcha
	case errors.Is(err, ErrTooManyAttempts):
		return resultBlocked
	case errors.Is(err, ErrOverloaded):
		return resultOverloaded
	case errors.Is(err, ErrNoHasher):
		return resultNoHasher
	}
	return otherResult(err)
}

// otherResult is that of errors which are no answer to what was sent.
func otherResult(err error) string {
	switch {
	case errors.Is(err, store.ErrUnavailable), errors.Is(err, store.ErrOverloaded):
		return resultUnavailable
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return resultCanceled
	}
	return resultError
}

// refresh counts a refresh that ended with err, and what it has done to the session.
func (m *metrics) refresh(s store.Session, how rotation, err error) {
	if m != nil {
		m.refreshes.WithLabelValues(refreshResult(s, how, err)).Inc()
	}
}

func refreshResult(s store.Session, how rotation, err error) string {
	switch {
	case err == nil && how == again:
		return resultReplayed
	case err == nil:
		return resultOK
	case errors.Is(err, ErrRefreshReused):
		return resultReused
	case errors.Is(err, ErrRefreshInvalid) && !s.EndedAt.IsZero() && !s.EndedAt.Before(s.ExpiresAt):
		return resultExpired // nobody had ended it before
	case errors.Is(err, ErrRefreshInvalid):
		return resultInvalid
	case errors.Is(err, ErrTooManyAttempts):
		return resultBlocked
	}
	return otherResult(err)
}

// mail counts what became of a mail.
func (m *metrics) mail(result string) {
	if m != nil {
		m.mails.WithLabelValues(result).Inc()
	}
}

// attempt counts an attempt or a request that ended with err, if it was refused because too many
// came before.
func (m *metrics) attempt(err error) {
	if m != nil && errors.Is(err, throttle.ErrTooManyAttempts) {
		m.blocked.Inc()
	}
}

// mailQueueTimeout is how long a scrape waits for the length of the queue. Without an answer its
// metrics are absent: old numbers would look as if all were well.
const mailQueueTimeout = time.Second

// mailQueue collects the length of the queue of mail. Scrapes at once share one question to the
// store, which goes on when they have left: a question that is cut off would cost its connection.
type mailQueue struct {
	store interface {
		MailQueue(ctx context.Context) (store.MailQueue, error)
		clock
	}
	mails, oldest *prometheus.Desc

	mu       sync.Mutex
	underway *mailQueueAnswer // nil if none is
}

// mailQueueAnswer is an answer of the store once done is closed.
type mailQueueAnswer struct {
	done  chan struct{}
	queue store.MailQueue
	err   error
}

func newMailQueue(s Store) *mailQueue {
	return &mailQueue{
		store: s,
		mails: prometheus.NewDesc("clientes_mail_queued",
			"Mails in the queue of all processes, with those that wait for their next try.",
			nil, nil),
		oldest: prometheus.NewDesc("clientes_mail_oldest_seconds",
			"The age of the oldest mail in the queue, 0 if it is empty.", nil, nil),
	}
}

// Describe implements [prometheus.Collector].
func (q *mailQueue) Describe(ch chan<- *prometheus.Desc) {
	ch <- q.mails
	ch <- q.oldest
}

// Collect implements [prometheus.Collector].
func (q *mailQueue) Collect(ch chan<- prometheus.Metric) {
	a := q.ask()
	timeout := time.NewTimer(mailQueueTimeout)
	defer timeout.Stop()
	select {
	case <-a.done:
	case <-timeout.C:
		return
	}
	if a.err != nil {
		return
	}
	age := time.Duration(0)
	if a.queue.Mails > 0 {
		age = max(0, q.store.Now().Sub(a.queue.Oldest))
	}
	send := func(d *prometheus.Desc, value float64) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value)
	}
	send(q.mails, float64(a.queue.Mails))
	send(q.oldest, age.Seconds())
}

// ask joins the question that is under way, or begins one.
func (q *mailQueue) ask() *mailQueueAnswer {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.underway != nil {
		return q.underway
	}
	a := &mailQueueAnswer{done: make(chan struct{})}
	q.underway = a
	go func() {
		a.queue, a.err = q.store.MailQueue(store.Insist(context.Background())) // has a timeout
		q.mu.Lock()
		q.underway = nil
		q.mu.Unlock()
		close(a.done)
	}()
	return a
}
