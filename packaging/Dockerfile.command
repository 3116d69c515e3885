# The image of the command, `gemma-export`. Its context is a folder with `main` and `ca-certificates.crt`, prepared by
# scripts/release; nothing is downloaded.

FROM scratch
COPY --chmod=644 ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --chmod=755 main /main
USER 65532:65532
WORKDIR /models
ENTRYPOINT ["/main"]
