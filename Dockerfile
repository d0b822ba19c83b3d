# Two stages: Go builds one static program, and the image holds that, the roots of trust for a database behind
# TLS, and nothing else: no shell, no libraries, no user but the number below.
#
#	docker build -t clientes --build-arg VERSION=1.0.0 --build-arg COMMIT=$(git rev-parse HEAD) .
#	docker run -e SECRET=$(openssl rand -hex 32) -p 127.0.0.1:3000:3000 -v clientes:/data clientes

FROM golang:1.26.8 AS build
WORKDIR /src
# The modules change less often than the code, so they are a layer of their own.
COPY go.mod go.sum ./
RUN go mod download
COPY . .
# The repository is not part of the context, so the version has to be said.
ARG VERSION
ARG COMMIT
# nomsgpack leaves out a format that Gin knows and no route uses. `make profile` measures what -pgo compiles for.
RUN CGO_ENABLED=0 go build -trimpath -tags nomsgpack -pgo=cmd/clientes/release.pgo \
	-ldflags "-s -w -X main.version=$VERSION -X main.commit=$COMMIT" \
	-o /out/clientes ./cmd/clientes && mkdir /out/data

FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /out/clientes /clientes
# A number, so that Kubernetes can see that it is not root. A new volume takes the owner of the folder.
COPY --from=build --chown=65532:65532 /out/data /data
USER 65532:65532
# The embedded database is sqlite:clientes.db in the working folder, and so on the volume. SQLite also puts its
# temporary files there, and so does an import, which needs room for its file: the image has no /tmp, and its root
# may be read-only.
WORKDIR /data
VOLUME /data
ENV TMPDIR=/data
# Within a container "beyond loopback" is what its publisher makes of it.
ENV HOST=0.0.0.0
EXPOSE 3000
HEALTHCHECK --interval=10s --timeout=8s --start-period=30s CMD ["/clientes", "healthcheck"]
ENTRYPOINT ["/clientes"]
CMD ["serve"]
