"""The service's contract (docs/API.md) in FastAPI, over Google's and Firebase's own clients, to be measured beside.

Written as their documentation shows it: one process, sync clients, handlers in FastAPI's thread pool. The clients are
made at start, so that the first request does not pay for them.
"""

import logging
import os
import uuid
from contextlib import asynccontextmanager
from datetime import datetime, timezone
from enum import Enum
from typing import Any

import firebase_admin
import grpc
from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from firebase_admin import auth, credentials
from google.auth.credentials import AnonymousCredentials
from google.cloud import firestore, run_v2
from google.cloud.run_v2.services.jobs.transports import JobsGrpcTransport
from pydantic import BaseModel, field_validator

log = logging.getLogger("export")
PROJECT = os.environ["PROJECT_ID"]
JOB = f"projects/{PROJECT}/locations/{os.environ.get('REGION', 'us-central1')}/jobs/export-job"


class Kind(str, Enum):
    adapter = "adapter"
    merged = "merged"
    gguf = "gguf"


class Destination(str, Enum):
    gcs = "gcs"
    hf_hub = "hf_hub"


class ExportRequest(BaseModel):
    job_id: str
    export_type: Kind
    destination: list[Destination] = [Destination.gcs]
    hf_token: str | None = None
    hf_repo_id: str | None = None
    hf_private: bool = True
    quantization: str | None = None

    @field_validator("job_id")
    @classmethod
    def is_a_document_id(cls, value: str) -> str:
        if not value or "/" in value or len(value.encode()) > 1499:
            raise ValueError("not a document id")
        return value


class Ack(BaseModel):
    success: bool
    message: str
    export_id: str


class Files(BaseModel):
    adapter: str | None = None
    merged: str | None = None
    gguf: str | None = None


class Raw(BaseModel):
    adapter: str | None = None
    merged: str | None = None


class Artifacts(BaseModel):
    file: Files = Files()
    raw: Raw = Raw()
    hf: Files = Files()


class Artifact(BaseModel):
    type: Kind
    path: str
    variant: str


class Progress(BaseModel):
    stage: str
    bytes_done: int
    bytes_total: int


class Export(BaseModel):
    export_id: str
    job_id: str
    type: Kind
    destination: list[Destination]
    hf_repo_id: str | None
    status: str
    message: str | None
    artifacts: list[Artifact]
    started_at: datetime
    updated_at: datetime
    finished_at: datetime | None
    quantization: str | None = None
    progress: Progress | None = None
    proof: dict[str, Any] | None = None
    quantizations: list[str] = []
    gguf_kind: str = "model"
    imatrix: str | None = None
    prompts_uri: str | None = None
    max_bytes: int | None = None
    calibration_uri: str | None = None
    failure: dict[str, str] | None = None
    eta_seconds: int | None = None


class Job(BaseModel):
    job_id: str
    job_name: str | None
    user_id: str | None
    adapter_path: str | None
    base_model_id: str | None
    modality: str
    created_at: datetime | None
    artifacts: Artifacts


class JobWithExport(Job):
    latest_export: Export | None


class Nobody(credentials.Base):
    """Verifying a token takes no account; the client wants one all the same."""

    def get_credential(self):
        return AnonymousCredentials()


@asynccontextmanager
async def clients(app: FastAPI):
    # No setting of the client moves this address; the keys are then fetched, cached and used as ever.
    from firebase_admin import _token_gen

    _token_gen.ID_TOKEN_CERT_URI = os.environ["FIREBASE_KEYS_URL"]
    firebase_admin.initialize_app(Nobody(), {"projectId": PROJECT})
    app.state.db = firestore.Client(project=PROJECT)
    channel = grpc.insecure_channel(os.environ["CLOUD_RUN_ENDPOINT"].removeprefix("http://"))
    app.state.jobs = run_v2.JobsClient(transport=JobsGrpcTransport(channel=channel))
    yield


app = FastAPI(lifespan=clients)
bearer = HTTPBearer(auto_error=False)


@app.exception_handler(RequestValidationError)
async def invalid(_: Request, error: RequestValidationError):
    return JSONResponse({"detail": error.errors()[0]["msg"]}, status_code=400)


def caller(token: HTTPAuthorizationCredentials | None = Depends(bearer)) -> str:
    if token is None:
        raise HTTPException(401, "a valid Firebase ID token is required")
    try:
        return auth.verify_id_token(token.credentials)["uid"]
    except (ValueError, auth.InvalidIdTokenError, auth.CertificateFetchError) as error:
        raise HTTPException(401, "a valid Firebase ID token is required") from error


def job_fields(job_id: str, document: dict) -> dict:
    artifacts = Artifacts.model_validate({k: v for k, v in (document.get("artifacts") or {}).items() if v})
    return {
        "job_id": job_id,
        "job_name": document.get("job_name"),
        "user_id": document.get("user_id"),
        "adapter_path": document.get("adapter_path") or artifacts.raw.adapter,
        "base_model_id": document.get("base_model_id"),
        "modality": document.get("modality") or "text",
        "created_at": document.get("created_at"),
        "artifacts": artifacts,
    }


def owned(db: firestore.Client, job_id: str, uid: str) -> dict:
    snapshot = db.collection("training_jobs").document(job_id).get()
    if not snapshot.exists:
        raise HTTPException(404, "no such job")
    document = snapshot.to_dict()
    if document.get("user_id") != uid:
        raise HTTPException(403, "not your job")
    return document


@app.get("/health")
def health():
    return {"status": "healthy", "service": "export"}


@app.get("/exports")
def list_jobs(request: Request, uid: str = Depends(caller)) -> list[Job]:
    query = (
        request.app.state.db.collection("training_jobs")
        .where(filter=firestore.FieldFilter("user_id", "==", uid))
        .where(filter=firestore.FieldFilter("status", "==", "completed"))
    )
    oldest = datetime.min.replace(tzinfo=timezone.utc)
    jobs = [(snapshot.id, snapshot.to_dict()) for snapshot in query.stream()]
    jobs.sort(key=lambda job: job[1].get("created_at") or oldest, reverse=True)
    return [Job(**job_fields(*job)) for job in jobs]


@app.get("/exports/{job_id}")
def get_job(job_id: str, request: Request, uid: str = Depends(caller)) -> JobWithExport:
    db = request.app.state.db
    job = owned(db, job_id, uid)
    query = (
        db.collection("exports")
        .where(filter=firestore.FieldFilter("job_id", "==", job_id))
        .order_by("started_at", direction=firestore.Query.DESCENDING)
        .limit(1)
    )
    latest = next((Export.model_validate(export.to_dict()) for export in query.stream()), None)
    return JobWithExport(**job_fields(job_id, job), latest_export=latest)


@app.post("/exports")
def create_export(wanted: ExportRequest, request: Request, uid: str = Depends(caller)) -> Ack:
    db = request.app.state.db
    if owned(db, wanted.job_id, uid).get("status") != "completed":
        raise HTTPException(400, "the training job is not completed")
    export_id = str(uuid.uuid4())
    document = db.collection("exports").document(export_id)
    document.create(
        {
            "export_id": export_id,
            "job_id": wanted.job_id,
            "user_id": uid,
            "type": wanted.export_type.value,
            "destination": [destination.value for destination in wanted.destination],
            "hf_repo_id": wanted.hf_repo_id,
            "hf_private": wanted.hf_private,
            "quantization": wanted.quantization,
            "status": "running",
            "message": None,
            "artifacts": [],
            "started_at": firestore.SERVER_TIMESTAMP,
            "updated_at": firestore.SERVER_TIMESTAMP,
            "finished_at": None,
        }
    )
    variables = {"EXPORT_ID": export_id, "PROJECT_ID": PROJECT, "HF_TOKEN": wanted.hf_token}
    override = run_v2.RunJobRequest.Overrides.ContainerOverride(
        env=[run_v2.EnvVar(name=name, value=value) for name, value in variables.items() if value]
    )
    overrides = run_v2.RunJobRequest.Overrides(container_overrides=[override])
    try:
        operation = request.app.state.jobs.run_job(run_v2.RunJobRequest(name=JOB, overrides=overrides), timeout=20)
    except Exception as error:
        log.exception("the job was not started")
        document.update({"status": "failed", "message": "The export job could not be started"})
        raise HTTPException(500, "the export job could not be started") from error
    document.update({"execution": operation.metadata.name, "updated_at": firestore.SERVER_TIMESTAMP})
    return Ack(success=True, message=f"Export job {export_id} started successfully", export_id=export_id)
