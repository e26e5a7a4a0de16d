# The image is one static binary, the certificates it trusts when it delivers
# elsewhere, and an empty directory for its data.
#
#   docker run -e DISD_AUTH_MODE=open -p 20004:20004 disd
#
# In a container the server must listen beyond loopback, and there it does not
# start before somebody has said who may use it. The image leaves this open on
# purpose: an emulator in CI sets DISD_AUTH_MODE=open, which accepts any
# credentials, a production server sets the mode it wants, and an image that
# was started without a thought stops with a message instead of serving
# everyone who can reach it. Every other option has an environment variable of
# its own too, or mount a file and name it in DISD_CONFIG: the health check
# reads it too.
FROM --platform=$BUILDPLATFORM docker.io/library/golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG TARGETOS TARGETARCH
ARG VERSION=dev
RUN CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH \
    go build -trimpath -ldflags "-s -w -X main.version=$VERSION" -o /disd ./cmd/disd
RUN mkdir /data

FROM scratch
COPY --from=build /disd /disd
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
# A new volume takes its owner from the directory in the image.
COPY --from=build --chown=65532:65532 /data /data
# By number: there is no /etc/passwd, and Kubernetes' runAsNonRoot wants one.
USER 65532:65532
ENV DISD_LISTEN=0.0.0.0:20004 DISD_DATA_DIR=/data
EXPOSE 20004
VOLUME /data
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s CMD ["/disd", "health"]
ENTRYPOINT ["/disd"]
CMD ["serve"]
