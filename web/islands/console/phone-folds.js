// What narrows a list is folded away on a phone, where it would fill the first screen; without scripts it stays open.
const narrow = matchMedia("(max-width: 760px)");
const folds = [...document.querySelectorAll("details.phone-fold")];
const fit = () => folds.forEach((each) => { each.open = !narrow.matches; });
fit();
narrow.addEventListener("change", fit);
