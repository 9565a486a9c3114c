// <media-upload> with a file field: sends each file as it is, tells what was refused, and shows the list anew.
class MediaUpload extends HTMLElement {
  connectedCallback() {
    this.field = this.querySelector('input[type="file"]');
    this.field.addEventListener("change", () => this.send([...this.field.files]));
  }

  async send(files) {
    const told = document.getElementById("upload-told");
    const problems = [];
    for (const [index, file] of files.entries()) {
      this.tell(told, `正在上传 ${index + 1}/${files.length}：${file.name}`);
      const problem = await this.put(file);
      if (problem) problems.push(problem);
    }
    this.field.value = "";
    if (problems.length) this.tell(told, problems.join(" "), "bad");
    else location.reload();
  }

  async put(file) {
    const { "X-CSRF": csrf } = JSON.parse(document.body.getAttribute("hx-headers"));
    const headers = { "X-CSRF": csrf, "HX-Request": "true", "Content-Type": "application/octet-stream" };
    try {
      const answer = await fetch(`/console/media?name=${encodeURIComponent(file.name)}`, { method: "PUT", headers, body: file });
      if (answer.ok) return "";
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      return page.body.textContent.trim() || `“${file.name}”没有上传成功，请重试。`;
    } catch {
      return `“${file.name}”没有上传成功，请检查网络后重试。`;
    }
  }

  tell(told, text, tone = "") {
    told.hidden = false;
    told.dataset.tone = tone;
    told.textContent = text;
  }
}

customElements.define("media-upload", MediaUpload);
