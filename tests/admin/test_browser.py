"""The start page and the dashboard in a real browser, against the whole product."""

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.acceptance.delivering import FILES, Sent, register
from tests.acceptance.evidence import job_row
from tests.server import EXAMPLE_JOB, IMAGES, Pixerve, free_port, make_token, wait_for

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
PATIENCE_MS = 60_000
HOSTILE_NAME = "<img src=x onerror=document.title='owned'>.jpg"

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(
            executable_path=CHROMIUM,
            args=["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"],
        )
        yield found
        found.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A fresh tab; the test fails on any error of a script or breach of the page's policy."""
    context = browser.new_context()
    context.set_default_timeout(PATIENCE_MS)
    expect.set_options(timeout=PATIENCE_MS)
    errors: list[str] = []
    tab = context.new_page()
    tab.on("pageerror", lambda error: errors.append(str(error)))
    tab.on(
        "console",
        lambda message: errors.append(message.text) if "Content Security" in message.text else None,
    )
    yield tab
    context.close()
    assert errors == []


def sign_in(page: Page, server: Pixerve, path: str = "/admin/") -> None:
    page.goto(f"{server.url}/admin/login/?next={path}")
    page.fill("#id_username", "root")
    page.fill("#id_password", "root-password-1")
    page.click("#login-form button[type=submit]")


def drop(page: Page, name: str, content: bytes) -> None:
    """Drop a file onto the drop zone, as a mouse would."""
    data = page.evaluate_handle(
        """([name, bytes]) => {
            const data = new DataTransfer();
            data.items.add(new File([new Uint8Array(bytes)], name, {type: "image/jpeg"}));
            return data;
        }""",
        [name, list(content)],
    )
    page.dispatch_event("#drop", "drop", {"dataTransfer": data})


def test_a_dropped_picture_becomes_files(page: Page, server: Pixerve) -> None:
    page.goto(server.url)
    expect(page.locator("#health")).to_contain_text("Healthy")
    page.fill("#token", make_token(EXAMPLE_JOB, subject="browser"))
    expect(page.locator("#token-note")).to_contain_text("Makes 2 × jpg, 2 × webp")
    drop(page, HOSTILE_NAME, (IMAGES / "pil_hopper.jpg").read_bytes())
    card = page.locator("#uploads > li").first
    expect(card.locator(".state")).to_have_text("completed")
    expect(card.locator(".name")).to_have_text(HOSTILE_NAME)
    expect(card.locator(".files img")).to_have_count(4)
    shown = "[...document.querySelectorAll('.files img')].every((i) => i.naturalWidth > 0)"
    card.locator(".files img").last.scroll_into_view_if_needed()
    wait_for(lambda: page.evaluate(shown), within_s=60, what="the pictures")
    expect(page.locator("#spoken")).to_contain_text("completed")
    assert page.title() == "Pixerve"
    link = card.locator(".files a").first.get_attribute("href")
    assert link is not None
    assert server.get(link.removeprefix(server.url)).status == 200


def test_chosen_files_are_taken_and_refusals_said_in_words(page: Page, server: Pixerve) -> None:
    page.goto(server.url)
    page.set_input_files("#files", IMAGES / "pil_hopper.png")
    expect(page.locator("#token-note")).to_contain_text("Paste a token first")
    expect(page.locator("#uploads > li")).to_have_count(0)
    page.fill("#token", make_token(EXAMPLE_JOB, subject="browser-2"))
    page.set_input_files("#files", [IMAGES / "imp_test1.svg", IMAGES / "pil_truncated_jpeg.jpg"])
    cards = page.locator("#uploads > li")
    expect(cards).to_have_count(2)
    refused = cards.filter(has_text="imp_test1.svg")
    expect(refused.locator(".problem")).to_contain_text("are not a JPEG, PNG")
    failed = cards.filter(has_text="pil_truncated_jpeg.jpg")
    expect(failed.locator(".state")).to_have_text("failed")
    expect(failed.locator(".problem")).to_contain_text("truncated")


def test_a_token_the_server_refuses_is_said(page: Page, server: Pixerve) -> None:
    page.goto(server.url)
    page.fill("#token", make_token(EXAMPLE_JOB, secret="another secret, also long enough to sign"))
    page.set_input_files("#files", IMAGES / "pil_hopper.png")
    problem = page.locator("#uploads .problem")
    expect(problem).to_contain_text("the token is not valid here")


def test_the_dashboard_lives(page: Page, server: Pixerve) -> None:
    sign_in(page, server)
    expect(page.locator("#verdict")).to_have_text("All is well")
    expect(page.locator("#checks li")).to_have_count(4)
    expect(page.locator("#chart rect.px-done")).to_have_count(24)
    token = make_token(EXAMPLE_JOB, subject="dashboard")
    accepted = server.upload((IMAGES / "pil_hopper.webp").read_bytes(), token, name="<b>live")
    server.wait_end(accepted.json()["hash"], token)
    newest = page.locator("#latest-jobs li").first  # without a reload
    expect(newest.locator(".px-name")).to_have_text("<b>live")
    expect(newest.locator(".px-state")).to_have_text("completed")
    newest.locator(".px-name").click()
    expect(page.locator(".px-renditions img")).to_have_count(4)
    wait_for(
        lambda: page.evaluate("document.querySelector('.px-renditions img').naturalWidth > 0"),
        within_s=60,
        what="the first thumbnail",
    )


def test_a_trial_token_made_by_hand_uploads(page: Page, server: Pixerve) -> None:
    sign_in(page, server, "/admin/jobs/job/trial-token/")
    page.fill("#id_subject", "by-hand")
    page.click("text=Make a token")
    token = page.locator("#token").input_value()
    content = (IMAGES / "pil_hopper.gif").read_bytes()
    answer = server.upload(content, token, name="hopper.gif")
    assert answer.status == 202, json.dumps(answer.json())
    assert server.wait_end(answer.json()["hash"], token)["state"] == "completed"


def test_a_credential_is_registered_tried_and_changed(page: Page, server: Pixerve) -> None:
    sign_in(page, server, "/admin/credentials/credential/add/")
    page.click("#content a:text('s3')")
    page.fill("#id_key", "by-hand")
    page.fill("#id_data_bucket", "pictures")
    page.fill("#id_data_access_key_id", "AKIA1")
    page.fill("#id_data_endpoint", f"http://127.0.0.1:{free_port()}")
    page.fill("#id_data_secret_access_key", "hush-secret")
    assert page.locator("#id_data_secret_access_key").get_attribute("type") == "password"
    page.click("text=Register")
    expect(page.locator("body")).to_contain_text("by-hand is registered")
    assert page.locator("#id_data_secret_access_key").input_value() == ""
    assert "hush-secret" not in page.content()

    page.click("text=Test connection")
    expect(page.locator("body")).to_contain_text("It does not work: store_unavailable")

    page.fill("#id_data_bucket", "others")
    page.click("text=Save")
    changes = page.locator("table.px-log tbody tr")
    expect(changes).to_have_count(2)
    expect(changes.first).to_contain_text("bucket")
    page.click("text=Delete")
    page.click("#content button:text('Delete')")
    expect(page.locator("body")).to_contain_text("by-hand is deleted")


def test_what_became_of_deliveries_is_seen_and_a_storage_tried(page: Page, server: Pixerve) -> None:
    folder = Path(server.env["PIXERVE_LOCAL_ROOTS"])
    near = register(server, "local", {"root": str(folder)})
    closed = {"endpoint": f"http://127.0.0.1:{free_port()}", "access_key": "A", "secret_key": "B"}
    far = register(server, "s3", {"bucket": "pictures", **closed})
    sent = Sent(server, {"local": near, "s3": far})
    sent.wait_for_states(near, {"delivered"})
    wait_for(lambda: sent.deliveries(far)[0]["attempts"], what="the first try")

    sign_in(page, server, f"/admin/jobs/job/{job_row(server, sent.uid)['id']}/change/")
    lines = page.locator("section", has=page.locator("h2:text-is('Deliveries')")).locator("tr")
    arrived, failing = lines.filter(has_text=near), lines.filter(has_text=far)
    expect(arrived).to_have_count(FILES)
    expect(arrived.locator("text=Delivered")).to_have_count(FILES)
    expect(failing.locator("text=Waiting")).to_have_count(FILES)
    expect(failing.filter(has_text="store_unavailable").first).to_contain_text("refused")

    page.goto(f"{server.url}/admin/jobs/storagehealth/")
    storages = page.locator("#result_list tbody tr")
    expect(storages.filter(has_text=near)).to_contain_text("Well")
    expect(storages.filter(has_text=far)).to_contain_text(re.compile("Failing|Paused"))
    expect(storages.filter(has_text=far)).to_contain_text("Connection refused")

    page.goto(f"{server.url}/admin/credentials/credential/")
    page.click(f"a:text('{near}')")
    page.click("text=Test connection")
    expect(page.locator("body")).to_contain_text("It works: a probe was written, read and deleted")
    page.fill("#id_data_public_url", "https://files.example")
    page.click("text=Save")
    expect(page.locator("body")).to_contain_text(f"{near} is as you wrote it")
    expect(page.locator("table.px-log tbody tr").first).to_contain_text("public_url")
    assert len(list(folder.iterdir())) == FILES, "the probe is gone"
